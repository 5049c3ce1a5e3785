"""Log lines and progress bars: the program shows them on standard error, the library only logs ("cytomesh")."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
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

    There is one bar at a time: within another, and in workers, none is drawn.
    """
    global _bars_left
    if not (_bars_left and speaks() and sys.stderr.isatty()):
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
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
    _bars_left = 0
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(description, total=total, rate="", note="")
            for item in items:
                yield item
                speed = progress.tasks[0].speed
                progress.update(task, advance=1, rate=f"{speed:.1f} {unit}/s" if speed else "", note=note())
    finally:
        _bars_left = 1
