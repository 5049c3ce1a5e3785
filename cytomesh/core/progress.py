"""Progress bars and log lines: on a terminal only, always on standard error, silenced in one place."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
_is_quiet = False


def set_quiet(quiet: bool) -> None:
    """Silence (or restore) progress bars and log lines of this process."""
    global _is_quiet
    _is_quiet = quiet


def log(message: str) -> None:
    """Print one line to standard error unless quiet."""
    if not _is_quiet:
        print(message, file=sys.stderr, flush=True)


def track(items: Iterable[T], description: str, total: int | None = None, unit: str = "items") -> Iterator[T]:
    """Iterate with a progress bar (count, rate, time left); without one when quiet or not on a terminal."""
    if _is_quiet or not sys.stderr.isatty():
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
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, rate="")
        for item in items:
            yield item
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:.1f} {unit}/s" if speed else "")
