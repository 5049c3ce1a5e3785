"""Sections over the workers of a Dask cluster that somebody else has started."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import distributed
from threadpoolctl import threadpool_limits

from cytomesh.core.errors import ClusterError
from cytomesh.core.parallel import one_thread_each
from cytomesh.core.progress import log, relay, warn
from cytomesh.core.section_pool import died
from cytomesh.core.sections import Bad, SectionTask, attempted

T = TypeVar("T")
R = TypeVar("R")

CONNECT_S = 10
ALONE_S = 0.2
"""How often it is asked whether the worker of a task that is tried alone still lives."""
HEAD_BYTES = 4096
PACKAGES = ("cytomesh", "distributed", "dask", "numpy")
"""Packages of which all have the same version: results would differ, or messages not be understood."""
SAME_ENVIRONMENT = "start scheduler and workers from the environment that cytomesh runs in"


@dataclass(frozen=True, slots=True)
class Witness:
    """The beginning of a file: who sees another, or none, does not see this run's files."""

    path: Path
    head: bytes

    @classmethod
    def of(cls, path: Path) -> Witness:
        """Look at a file."""
        path = Path(os.path.abspath(path))  # noqa: PTH100 (a link is called by its own name)
        return cls(path, _head(path))

    def is_seen(self) -> bool:
        """Return whether the file is here, and the same."""
        with suppress(OSError):
            return _head(self.path)[: len(self.head)] == self.head
        return False


class Sections(distributed.WorkerPlugin):
    """What each worker is given once, also one that joins later: the function, and what to compare before.

    Parameters
    ----------
    topic : str
        Name of this, and of the events by which log lines come back.
    function : callable
    versions : dict of str to str
        Of the packages of the program that asks.
    witness : Witness
    """

    def __init__(
        self, topic: str, function: Callable[[Any], Any], versions: Mapping[str, str], witness: Witness
    ) -> None:
        self.name = topic
        self.function = function
        self.versions = versions
        self.witness = witness

    def setup(self, worker: Any) -> None:
        """Begin: one thread for libraries, log lines sent back."""
        one_thread_each()
        self._lines = _Lines(worker, self.name)
        logger = logging.getLogger("cytomesh")
        logger.addHandler(self._lines)
        logger.setLevel(logging.INFO)
        if worker.state.nthreads > 1:
            warn(f"{worker.state.nthreads} threads in one process: --nthreads 1 --nworkers N is faster, as a rule")

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 (its place in the interface)
        """End: lines of others are not for this program."""
        logging.getLogger("cytomesh").removeHandler(self._lines)

    def check(self, address: str) -> None:
        """Raise a ClusterError if this worker is of other versions, or does not see the run's files."""
        if others := _differences(self.versions, own_versions()):
            raise ClusterError(f"worker {address}", found=others, expected="the same versions", hint=SAME_ENVIRONMENT)
        if not self.witness.is_seen():
            found = f"no such file as {self.witness.path} here, or another one"
            hint = "study and run directory have to lie where all machines see them under the same path"
            raise ClusterError(f"worker {address} on {platform.node()}", found=found, expected="the same", hint=hint)


class _Lines(logging.Handler):
    """Sends log lines of a worker to whoever listens."""

    def __init__(self, worker: Any, topic: str) -> None:
        super().__init__()
        self._worker, self._topic = worker, topic

    def emit(self, record: logging.LogRecord) -> None:
        self._worker.log_event(self._topic, {"level": record.levelno, "text": self.format(record)})


def over_cluster(
    function: Callable[[T], R], tasks: Sequence[SectionTask[T]], address: str, seen: Path
) -> Generator[tuple[int, R | Bad], None, None]:
    """Yield the outcome of each task with its number, as they come.

    Dask blames a worker's death on all tasks that it held, also those that waited there. Whichever it gives up is
    tried alone: the one that kills its worker is found, and the others are not blamed.

    Raises
    ------
    ClusterError
        If the scheduler is not there, of another version or lost, or a worker does not see `seen` as it is here.
    """
    topic = f"cytomesh-{uuid4().hex}"
    with _client(address) as client:
        plugin = Sections(topic, function, own_versions(), Witness.of(seen))
        client.subscribe_topic(topic, _show)
        with _reaching(address):
            client.register_plugin(plugin, name=topic)
        if not client.scheduler_info(n_workers=-1)["workers"]:
            log(f"{address}: no worker yet; this waits for one (Ctrl-C stops it)")
        names = [f"{topic}-{number}" for number in range(len(tasks))]
        futures = client.map(_do, [topic] * len(tasks), tasks, key=names, pure=False)
        numbers = {future.key: number for number, future in enumerate(futures)}
        blamed: dict[int, int] = {}
        try:
            # results come beside, many at once: to ask for each takes as long as small sections do
            found = distributed.as_completed(futures, loop=client.loop, with_results=True, raise_errors=False)
            for future, result in found:
                number = numbers[future.key]
                if future.status == "error" and isinstance(result[1], distributed.KilledWorker):
                    blamed[number] = result[1].allowed_failures + 1
                else:
                    yield number, _outcome(future.status, result, address)
            for number, n_deaths in blamed.items():
                yield number, _alone(client, topic, tasks[number], n_deaths, address)
        finally:
            if client.status == "running":
                client.cancel(futures, force=True)
                client.unregister_worker_plugin(topic)


def _do(topic: str, task: SectionTask[Any]) -> Any:
    worker = distributed.get_worker()
    plugin: Sections = worker.plugins[topic]
    plugin.check(worker.address)
    with threadpool_limits(1):
        return attempted(plugin.function, task)


def _alone(client: Any, topic: str, task: SectionTask[Any], n_deaths: int, address: str) -> Any:
    """Try a task on one worker that holds no other; if it dies again, it is of this task."""
    client.wait_for_workers(1)
    worker = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
    future = client.submit(_do, topic, task, key=f"{topic}-{task.name}-alone", workers=[worker], pure=False)
    while not future.done():
        if worker not in client.scheduler_info(n_workers=-1)["workers"]:
            future.cancel(force=True)
            return died(task, n_deaths + 1)
        time.sleep(ALONE_S)
    if isinstance(future.exception() if future.status == "error" else None, distributed.KilledWorker):
        return died(task, n_deaths + 1)
    if future.status not in ("finished", "error"):
        raise _gone(address)
    return future.result()


def _outcome(status: str, result: Any, address: str) -> Any:
    if status == "finished":
        return result
    if status != "error":
        raise _gone(address)
    _, error, trace = result
    raise error.with_traceback(trace)


def _gone(address: str) -> ClusterError:
    hint = "see the scheduler's log, start it again, and call the same command: what is done is kept"
    return ClusterError(address, found="the scheduler is gone", hint=hint)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    with _reaching(address), ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a loop that runs
        theirs = thread.submit(asyncio.run, _ask(address)).result()
    if others := _differences(own_versions(), theirs):
        raise ClusterError(f"scheduler {address}", found=others, expected="the same versions", hint=SAME_ENVIRONMENT)
    # it would say on standard error what is said here, or mended
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with _reaching(address):
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False, name="cytomesh")
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_S)
        logger.setLevel(level)


async def _ask(address: str) -> Mapping[str, str]:
    """Ask a scheduler for its versions; a client would wait for the answer of a program that is none for ever."""
    scheduler = distributed.rpc(address, timeout=CONNECT_S)
    try:
        facts = await asyncio.wait_for(scheduler.identity(), CONNECT_S)
        if facts["type"] != "Scheduler":
            raise ValueError(f"the address of a {facts['type'].lower()}")
        found = await asyncio.wait_for(scheduler.versions(packages=list(PACKAGES)), CONNECT_S)
    finally:
        await scheduler.close_rpc()
    packages = {name: str(found["packages"].get(name)) for name in PACKAGES}
    return {**packages, "python": _minor(str(found["host"]["python"]))}


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    """Name the scheduler in whatever comes of talking to what may be none."""
    try:
        yield
    except ClusterError:
        raise
    except Exception as cause:
        text = " ".join(str(cause).split())[:200] or "no answer"
        hint = f"start one (dask scheduler), or give its address (--scheduler tcp://HOST:8786); {SAME_ENVIRONMENT}"
        raise ClusterError(
            address, found=f"{type(cause).__name__}: {text}", expected="a Dask scheduler", hint=hint
        ) from cause


def _show(event: tuple[float, Mapping[str, Any]]) -> None:
    _, line = event
    relay(line["level"], line["text"])


@cache
def own_versions() -> Mapping[str, str]:
    """Return the versions of this process that must be those of all."""
    found = {name: str(import_module(name).__version__) for name in PACKAGES}
    return {**found, "python": _minor(platform.python_version())}


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _differences(mine: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {theirs[name]} (here {mine[name]})" for name in mine if theirs[name] != mine[name])


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)
