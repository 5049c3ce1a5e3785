"""Work over local processes, or over threads of this one; results in order."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_limits

from cytomesh.core.groups import processors_granted
from cytomesh.core.progress import draw_no_bars, speak, speaks

T = TypeVar("T")
R = TypeVar("R")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def available_cpus() -> int:
    """Return the number of processors this process may use: by its affinity and its control groups' quota."""
    # macOS knows no affinity
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processors_granted(usable)


def map_ordered(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """Apply a picklable function to each item; yield results in the order of `items`.

    With `workers` <= 1 or a single item everything runs in this process. Each worker is limited to one BLAS and
    OpenMP thread: workers times threads would oversubscribe the machine. An exception in a worker is raised
    here and the remaining work is cancelled.
    """
    with mapping(min(workers, len(items))) as apply:
        yield from apply(function, items)


@contextmanager
def mapping(workers: int) -> Iterator[Callable[[Callable[[T], R], Sequence[T]], Iterator[R]]]:
    """Give a function that does what `map_ordered` does, again and again in the same processes."""
    if workers <= 1:
        yield map
        return
    # "spawn": forking a process that has started torch or BLAS threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=begin_worker, initargs=(speaks(),)) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def map_ahead(function: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Apply a function to each item in some threads; yield results in the order of `items`, made ahead of time.

    At most 2 * `threads` + 1 items are under way or wait to be taken. What `function` or `items` raise is raised here;
    closing the generator drops the work that has not begun.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def begin_worker(shows_lines: bool) -> None:
    """Begin a worker: one thread, log lines shown where those of its parent are, and no life without its parent."""
    speak(quiet=not shows_lines)
    draw_no_bars()
    one_thread_each()
    threadpool_limits(1)
    # a parent that is killed leaves workers waiting for ever: each holds the pipe open that it listens at
    threading.Thread(target=_end_with_parent, daemon=True).start()


def one_thread_each() -> None:
    """Let libraries that are loaded later begin with one thread."""
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
