"""Processor time: on one thread the same as seconds, and not disturbed by what else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.common import Timing


def interleave_cpu(functions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    """Time functions in turns, A B A B ..., in processor seconds of this process; one warm-up each."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(rounds + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if round_:
                seconds[name].append(time.process_time() - start)
    return {name: Timing(values) for name, values in seconds.items()}
