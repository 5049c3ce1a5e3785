"""How long the parts of a stage's work take: for the record of its product."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_spent: dict[str, float] = {}
_open: list[str] = []


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count the seconds of a part of the work; within another one it is "outer: inner". Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    whole = ": ".join([*_open, name])
    _open.append(name)
    began = time.perf_counter()
    try:
        yield
    finally:
        _open.remove(name)
        _spent[whole] = _spent.get(whole, 0.0) + time.perf_counter() - began


def spent() -> dict[str, float]:
    """Return the seconds of each phase of this process so far."""
    return dict(_spent)


def spent_since(before: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of each phase since `spent` gave `before`, to a millisecond, by name; none that took none."""
    passed = {name: round(seconds - before.get(name, 0.0), 3) for name, seconds in sorted(_spent.items())}
    return {name: seconds for name, seconds in passed.items() if seconds > 0}
