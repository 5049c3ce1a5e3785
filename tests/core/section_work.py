"""What is done to sections in tests: importable by workers of any kind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from threadpoolctl import threadpool_info

from cytomesh.core.errors import ContourError, StorageError
from cytomesh.core.files import atomic_path
from cytomesh.core.progress import log


def square(n: int) -> int:
    time.sleep(0.02 * (4 - n % 5))  # later ones finish first
    return n * n


def square_or_fail(n: int) -> int:
    if n in (2, 5):
        raise ContourError(f"s{n}.geojson", found="nothing")
    return n * n


def always_fail(n: int) -> int:
    raise ContourError(f"s{n}.geojson", found="nothing")


def full_disk(n: int) -> int:
    raise StorageError("out", found="no space left")


def bug(n: int) -> int:
    return 1 // (n - 2)


def write(job: tuple[Path, str]) -> int:
    path, text = job
    path.write_text(text)
    with path.with_suffix(".calls").open("a") as calls:
        calls.write("x")
    return len(text)


def die_once(job: tuple[Path, int]) -> int:
    """Kill the worker of section 2 the first time that it comes."""
    folder, n = job
    with atomic_path(folder / f"{n}.txt") as temporary:
        temporary.write_text("whole")
        if n == 2 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return n


def die_always(n: int) -> int:
    if n == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return n


def threads_and_process(_n: int) -> tuple[int, str, int]:
    log("seen from afar")
    time.sleep(0.05)
    return max(pool["num_threads"] for pool in threadpool_info()), os.environ["OMP_NUM_THREADS"], os.getpid()


def wait_long(job: tuple[Path, int]) -> int:
    folder, n = job
    (folder / f"{os.getpid()}.pid").touch()
    time.sleep(300)
    return n
