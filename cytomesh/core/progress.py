"""Log lines and progress bars: the program shows them on standard error, the library only logs ("cytomesh")."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from cytomesh.core.phases import phase

T = TypeVar("T")
LINE_S = 180.0
"""Between lines on how far the work is, where there is no progress bar."""
LOGGER = logging.getLogger("cytomesh")
_bars_left = 1


class _StandardError(logging.Handler):
    """Writes to what standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


def speak(*, quiet: bool = False) -> None:
    """Show log lines, and progress bars on a terminal, on standard error; for programs. With `quiet` show nothing."""
    hush()
    LOGGER.addHandler(logging.NullHandler() if quiet else _StandardError())
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def hush() -> None:
    """Leave log lines to the logging of whoever uses the library, and draw no bars: how it is before `speak`."""
    for handler in [h for h in LOGGER.handlers if isinstance(h, (_StandardError, logging.NullHandler))]:
        LOGGER.removeHandler(handler)
    LOGGER.setLevel(logging.NOTSET)
    LOGGER.propagate = True


def is_quiet() -> bool:
    """Return whether a program was asked to say nothing but errors."""
    return any(isinstance(handler, logging.NullHandler) for handler in LOGGER.handlers)


def speaks() -> bool:
    """Return whether log lines are shown."""
    return any(isinstance(handler, _StandardError) for handler in LOGGER.handlers)


def log(message: str) -> None:
    """Log a line on the course of things."""
    LOGGER.info("%s", message)


def warn(message: str) -> None:
    """Log a line on what a user should look at."""
    LOGGER.warning("%s", message)


def relay(level: int, message: str) -> None:
    """Log a line that another process has logged."""
    LOGGER.log(level, "%s", message)


def draw_no_bars() -> None:
    """Leave progress bars to the parent of this process."""
    global _bars_left
    _bars_left = 0


def track(
    items: Iterable[T],
    description: str,
    total: int | None = None,
    unit: str = "items",
    note: Callable[[], str] = str,
) -> Iterator[T]:
    """Iterate with a progress bar (count, rate, time left, and a note), where lines are shown and on a terminal.

    There is one bar at a time: within another, and in workers, none is drawn. Where a bar would be seen by nobody,
    such as in a batch job, a line every few minutes says how far it is. The time counts as a phase of that name.
    """
    # "outlines of B01_hemi-L": how long each takes is told by the log
    with phase(description.partition(" of ")[0]):
        yield from _shown(items, description, total, unit, note)


def _shown(items: Iterable[T], description: str, total: int | None, unit: str, note: Callable[[], str]) -> Iterator[T]:
    global _bars_left
    if not _bars_left:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    _bars_left = 0
    try:
        bar = _bar if speaks() and sys.stderr.isatty() else _lines
        yield from bar(items, description, total, unit, note)
    finally:
        _bars_left = 1


def _lines(items: Iterable[T], description: str, total: int | None, unit: str, note: Callable[[], str]) -> Iterator[T]:
    """Log a line every few minutes; nothing of what is done before the first."""
    began = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= LINE_S:
            last = now
            rate = done / (now - began)
            of, left = "", ""
            if total is not None:
                of = f" of {total:,}"
                left = f", {_duration((total - done) / rate)} left" if rate else ""
            log(", ".join(filter(None, [f"{description}: {done:,}{of} {unit}{left}", note()])))
        yield item


def _duration(seconds: float) -> str:
    """Return a time to wait, to the minute."""
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def _bar(items: Iterable[T], description: str, total: int | None, unit: str, note: Callable[[], str]) -> Iterator[T]:
    # rich takes a tenth of a second to import, which `cytomesh --help` does not have.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, rate="", note="")
        for item in items:
            yield item
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:.1f} {unit}/s" if speed else "", note=note())
