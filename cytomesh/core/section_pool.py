"""Sections over processes of this machine, some of which may die."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from cytomesh.core.errors import WorkerError
from cytomesh.core.parallel import begin_worker
from cytomesh.core.progress import speaks, warn
from cytomesh.core.sections import MOST_TRIES, Bad, SectionTask, attempted

T = TypeVar("T")
R = TypeVar("R")

# What a process of the pool does with each task; set once when it begins.
_function: Callable[[Any], Any] | None = None


def over_processes(
    function: Callable[[T], R], tasks: Sequence[SectionTask[T]], workers: int
) -> Generator[tuple[int, R | Bad], None, None]:
    """Yield the outcome of each task with its number, as they come.

    A process that dies takes the whole pool with it. Each task that was under way is then tried alone: the one that
    kills its process is found, and the others are not blamed.
    """
    waiting = deque(range(len(tasks)))
    while waiting:
        under_way: dict[Future[Any], int] = {}
        with _pool(function, min(workers, len(waiting))) as pool:
            try:
                while waiting or under_way:
                    while waiting and len(under_way) < workers + 2:
                        future = pool.submit(_do, tasks[waiting[0]])
                        under_way[future] = waiting.popleft()
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        outcome = future.result()
                        yield under_way.pop(future), outcome
            except BrokenProcessPool:
                wait(under_way)
        for future, number in under_way.items():
            if future.exception() is None:
                yield number, future.result()
            else:
                yield number, _alone(function, tasks[number])


def _alone(function: Callable[[T], R], task: SectionTask[T]) -> R | Bad:
    """Try a task in a process of its own, as often as is left to it."""
    for attempt in range(2, MOST_TRIES + 1):
        warn(f"{task.name}: a worker process died; tried again ({attempt} of {MOST_TRIES})")
        with _pool(function, 1) as pool:
            try:
                return pool.submit(_do, task).result()
            except BrokenProcessPool:
                continue
    return died(task, MOST_TRIES)


def died(task: SectionTask[Any], n_times: int) -> Bad:
    """Return what is said of a section whose workers die."""
    found = f"its worker process died each of the {n_times} times that it was tried"
    hint = "it may take more memory than there is (fewer --workers, more memory for each), or crash a library"
    return Bad(WorkerError(task.name, found=found, hint=hint))


@contextmanager
def _pool(function: Callable[[Any], Any], workers: int) -> Iterator[ProcessPoolExecutor]:
    # "spawn": forking a process that has started torch or BLAS threads can deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(function, speaks()))
    try:
        yield pool
    except BaseException:
        # what they are at is lost anyway, and may take minutes (`terminate_workers` from Python 3.14 on)
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


def _begin(function: Callable[[Any], Any], shows_lines: bool) -> None:
    global _function
    begin_worker(shows_lines)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends its workers
    _function = function


def _do(task: SectionTask[Any]) -> Any:
    if _function is None:
        raise RuntimeError("a process of the pool was not begun")
    return attempted(_function, task)
