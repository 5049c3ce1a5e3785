"""Work on many sections, over local processes or a Dask cluster: what is done is kept, what fails is named."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from cytomesh.core.errors import ClusterError, CytomeshError, PackageError, StorageError
from cytomesh.core.extras import optional
from cytomesh.core.files import PARTIAL, read_object, remove
from cytomesh.core.progress import log, track, warn
from cytomesh.core.remote import RemotePath
from cytomesh.core.section_log import SectionLog

T = TypeVar("T")
R = TypeVar("R")

NOT_OF_A_SECTION = (StorageError, PackageError, ClusterError)
"""Errors that the next section would meet as well: they always stop the work."""
MOST_TRIES = 3
"""A section whose worker dies is tried so often; on a cluster, as often as its `allowed-failures` say."""


@dataclass(frozen=True, slots=True)
class SectionTask(Generic[T]):
    """A section and what is to be done with it.

    Parameters
    ----------
    name : str
        Of the section, "B01 section 12".
    item : T
        What the function is given; picklable.
    key : str
        Identity of what the result is made from (see `section_log.file_key`); empty: made each time.
    output : Path or None
        File or folder that the function writes, on a disk or at an address.
    """

    name: str
    item: T
    key: str = ""
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Bad:
    """A section that cannot be used: the error, and where in the worker it was raised."""

    problem: CytomeshError
    trace: str = ""


class WorkerTrace(Exception):
    """Where an error was raised in another process; shown above it with `--debug`."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def map_sections(
    function: Callable[[T], R],
    tasks: Sequence[SectionTask[T]],
    *,
    doing: str,
    workers: int = 1,
    scheduler: str | None = None,
    seen: Path | None = None,
    states: SectionLog | None = None,
    left_out: dict[str, CytomeshError] | None = None,
) -> Generator[tuple[SectionTask[T], R], None, None]:
    """Apply a function to each section; yield tasks with their results, in the order of the tasks.

    The function is sent once to each worker, which computes with one thread. A section whose worker dies is tried
    again, a bounded number of times, and on this machine in a process of its own.

    Parameters
    ----------
    function : callable
        Picklable. An error of cytomesh that it raises is the section's; any other is a fault of the program, and
        stops everything.
    tasks : sequence of SectionTask
        Of different names.
    doing : str
        What the progress bar says.
    workers : int
        Processes; with 1, or a single task, everything runs in this process. Without meaning on a cluster.
    scheduler : str or None
        Address of a Dask scheduler whose workers do the work, "tcp://host:8786".
    seen : Path, optional
        A file that must be the same for all workers of a cluster; by default that of `states`.
    states : SectionLog, optional
        Says which tasks are done already, and is told of each that is. What the function returns must then be a JSON
        value.
    left_out : dict of str to CytomeshError, optional
        Where given, sections that fail are put here by name, and left out of what is yielded.

    Raises
    ------
    CytomeshError
        That of the first section that fails, in the order of the tasks, unless they are left out; always where the
        cluster, the disk or a package is at fault.
    """
    found: dict[int, Any] = {}
    for number, task in enumerate(tasks):
        if states is not None and states.is_done(task.name, task.key, task.output):
            found[number] = states.states[task.name].result
    if found:
        log(f"{doing}: {len(found)} of {len(tasks)} sections were done before")
    todo = [number for number in range(len(tasks)) if number not in found]
    turns = deque(range(len(tasks)))
    with closing(_outcomes(function, [tasks[number] for number in todo], workers, scheduler, seen, states)) as outcomes:
        for place, outcome in track(outcomes, doing, len(todo), unit="sections"):
            number = todo[place]
            found[number] = outcome
            if states is not None:
                _note(states, tasks[number], outcome)
            while turns and turns[0] in found:
                yield from _taken(tasks[turns[0]], found.pop(turns.popleft()), left_out)
    for number in turns:  # done before, after the last that was not
        yield tasks[number], found[number]
    _clear_partial(tasks)
    if left_out:
        warn(f"{doing}: {len(left_out)} of {len(tasks)} sections are left out")


def scheduler_address(scheduler: str | None, scheduler_file: Path | None) -> str | None:
    """Return the address of the scheduler that is given, or that a scheduler file names; None without either.

    Raises
    ------
    ClusterError
        If both are given, or the file is missing or none.
    """
    if scheduler_file is None:
        return scheduler
    if scheduler is not None:
        hint = "leave one out"
        raise ClusterError("--scheduler", found="--scheduler-file, too", expected="one of them", hint=hint)
    hint = f"start one: dask scheduler --scheduler-file {scheduler_file}; workers take the same file"
    if not scheduler_file.is_file():
        raise ClusterError(scheduler_file, found="no such file", expected="that of a Dask scheduler", hint=hint)
    address = read_object(scheduler_file, ClusterError).get("address")
    if not isinstance(address, str):
        raise ClusterError(scheduler_file, found="no address", expected="the file of a Dask scheduler", hint=hint)
    return address


def left_out_facts(left_out: Mapping[str, CytomeshError]) -> dict[str, dict[str, str]]:
    """Return what a record says of sections that are left out, and why; nothing if there are none."""
    return {"left_out": {name: str(problem) for name, problem in left_out.items()}} if left_out else {}


def attempted(function: Callable[[T], R], task: SectionTask[T]) -> R | Bad:
    """Return the result of a section, or what is wrong with it."""
    try:
        return function(task.item)
    except CytomeshError as problem:
        if isinstance(problem, NOT_OF_A_SECTION):
            raise
        return Bad(problem, traceback.format_exc())


def _outcomes(
    function: Callable[[T], R],
    tasks: Sequence[SectionTask[T]],
    workers: int,
    scheduler: str | None,
    seen: Path | None,
    states: SectionLog | None,
) -> Generator[tuple[int, R | Bad], None, None]:
    """Yield the outcome of each task with its number, as they come."""
    if not tasks:
        return
    if scheduler is not None:
        optional("distributed", "cytomesh[dask]")
        from cytomesh.core.dask_sections import over_cluster

        witness = states.path if states is not None else seen
        if witness is None:
            raise ValueError("on a cluster, something must be seen by all of its workers")
        yield from over_cluster(function, tasks, scheduler, witness)
    elif workers <= 1 or len(tasks) <= 1:
        yield from ((number, attempted(function, task)) for number, task in enumerate(tasks))
    else:
        from cytomesh.core.section_pool import over_processes

        yield from over_processes(function, tasks, workers)


def _clear_partial(tasks: Sequence[SectionTask[Any]]) -> None:
    """Remove what killed workers left half-written beside the outputs, all of which are whole by now."""
    outputs = {task.output for task in tasks if task.output is not None and not isinstance(task.output, RemotePath)}
    for folder in {path.parent for path in outputs}:
        for path in folder.glob(f"{PARTIAL}*"):
            if folder / path.name.removeprefix(PARTIAL).partition("-")[2] in outputs:
                remove(path)


def _note(states: SectionLog, task: SectionTask[Any], outcome: Any) -> None:
    if isinstance(outcome, Bad):
        states.add_failed(task.name, task.key, outcome.problem)
    else:
        states.add_done(task.name, task.key, outcome, task.output)


def _taken(
    task: SectionTask[T], outcome: Any, left_out: dict[str, CytomeshError] | None
) -> Iterator[tuple[SectionTask[T], Any]]:
    if not isinstance(outcome, Bad):
        yield task, outcome
    elif left_out is None:
        raise outcome.problem from (WorkerTrace(outcome.trace) if outcome.trace else None)
    else:
        left_out[task.name] = outcome.problem
