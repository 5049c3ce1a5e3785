"""Compiled row kernels over threads; each takes ranges of rows, so results do not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

ROWS_PER_TASK = 1024


def over_rows(kernel: Callable[..., None], n: int, *arguments: Any) -> None:
    """Call `kernel(start, stop, *arguments)` on ranges that cover n rows, with as many threads as torch uses.

    Kernels release the GIL (`numba.njit(nogil=True)`) and write rows start..stop only. Numba's own parallel loops
    would wait at a barrier for every thread, which on a shared machine costs more than the work.
    """
    threads = torch.get_num_threads()
    if threads == 1 or n <= ROWS_PER_TASK:
        kernel(0, n, *arguments)
        return
    ranges = [(start, min(start + ROWS_PER_TASK, n)) for start in range(0, n, ROWS_PER_TASK)]
    for task in [_pool(threads).submit(kernel, start, stop, *arguments) for start, stop in ranges]:
        task.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="rows")
