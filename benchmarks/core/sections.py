"""Sections a second through `map_sections`: `python -m benchmarks.core.sections`.

1,000 small sections (quick: 100): each a PNG of 256 x 256 px that is read, smoothed and written. Through a plain loop,
the local pool with two processes, and a Dask scheduler with two workers on this machine; then with one corrupt file in
twenty left out, and the same with one worker killed halfway. All must leave the bytes of the plain loop, the peer; the
overhead of a section is what two processes take beyond half of the loop's seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.ndimage import gaussian_filter

from benchmarks.common import Options, Result, interleave, main
from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.core.extras import optional
from cytomesh.core.files import read_json, write_array
from cytomesh.core.section_log import SectionLog, file_key
from cytomesh.core.sections import SectionTask, map_sections

SIDE_PX, N_WORKERS, EVERY = 256, 2, 20
COLUMNS = ("", "seconds", "sections/s", "overhead a section, ms")
ROOT = Path(__file__).resolve().parents[2]


def smooth(job: tuple[Path, Path]) -> int:
    """Do the work of a section; returns the process that did it."""
    source, target = job
    try:
        pixels = np.asarray(Image.open(source), np.float32)
    except UnidentifiedImageError as cause:
        raise ImageError(source, found="no image") from cause
    write_array(target, gaussian_filter(pixels, 3.0))
    return os.getpid()


def write_images(folder: Path, n: int) -> list[Path]:
    """Write the images; every twentieth is none."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:04d}.png" for number in range(n)]
    for number, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 256, (SIDE_PX, SIDE_PX), np.uint8)).save(path, compress_level=1)
        if number % EVERY == EVERY - 1:
            path.with_suffix(".bad").write_bytes(b"no image")
    return paths


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and its workers, one thread each; yield the address and the workers."""
    optional("distributed", "cytomesh[dask]")
    file = folder / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(what: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", what, "--host", "127.0.0.1", "--scheduler-file", str(file), *words]
        with (folder / f"{what}.log").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    processes = [start("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0")]
    try:
        while not file.exists():
            time.sleep(0.1)
        workers = [start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(N_WORKERS)]
        processes += workers
        while (folder / "worker.log").read_text().count("Registered to") < N_WORKERS:
            time.sleep(0.1)
        yield str(read_json(file)["address"]), workers
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(
    paths: list[Path],
    out: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    has_bad: bool = False,
    kill: subprocess.Popen[bytes] | bool = False,
) -> None:
    """Do all sections into a new folder; kill a worker halfway if so wanted."""
    out.mkdir()
    sources = [bad if has_bad and (bad := path.with_suffix(".bad")).exists() else path for path in paths]
    outputs = [out / f"{path.stem}.npy" for path in paths]
    jobs = [
        SectionTask(path.stem, (path, output), file_key(path), output)
        for path, output in zip(sources, outputs, strict=True)
    ]
    left_out: dict[str, CytomeshError] = {}
    states = SectionLog(out)
    done = map_sections(
        smooth, jobs, doing="smooth", workers=workers, scheduler=scheduler, states=states, left_out=left_out
    )
    for number, (_, process) in enumerate(done):
        if kill is not False and number == len(jobs) // 2:
            if kill is True:
                os.kill(process, signal.SIGKILL)
            else:
                kill.kill()
    if len(left_out) != has_bad * (len(paths) // EVERY):
        raise RuntimeError(f"{len(left_out)} sections left out")


def measure(options: Options) -> Result:
    """Do the same sections in each way, in turns; those with a killed worker once."""
    n, rounds = (100, 1) if options.quick else (1000, 2)
    ways: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder)) as (address, workers):
        paths = write_images(Path(folder), n)
        count = iter(range(10**6))
        local, dask = {"workers": N_WORKERS}, {"scheduler": address}

        def loop() -> None:
            out = Path(folder) / f"out{next(count)}"
            out.mkdir()
            for path in paths:
                smooth((path, out / f"{path.stem}.npy"))

        def way(**how: object) -> None:
            run(paths, Path(folder) / f"out{next(count)}", **how)  # type: ignore[arg-type]

        whole = {
            "plain loop": loop,
            "local pool": lambda: way(**local),
            "Dask": lambda: way(**dask),
            "local pool, one in twenty corrupt": lambda: way(**local, has_bad=True),
            "Dask, one in twenty corrupt": lambda: way(**dask, has_bad=True),
        }
        timings = {name: (timing.median, str(timing)) for name, timing in interleave(whole, rounds).items()}
        ways = {
            "local pool, corrupt, a worker killed": {**local, "kill": True, "has_bad": True},
            "Dask, corrupt, a worker killed": {**dask, "kill": workers[0], "has_bad": True},
        }
        for name, how in ways.items():
            start = time.perf_counter()
            way(**how)
            seconds = time.perf_counter() - start
            timings[name] = (seconds, f"{seconds:.3g} s")
        folders = [Path(folder) / f"out{number}" for number in range(next(count))]
        first = {path.name: path.read_bytes() for path in folders[0].glob("*.npy")}
        for other in folders[1:]:
            for path in other.glob("*.npy"):
                if path.read_bytes() != first[path.name]:
                    raise RuntimeError(f"{path.name} differs in {other.name}")
    alone = timings["plain loop"][0]
    rows = [
        [name, text, n / seconds, "" if name == "plain loop" else 1000 * (seconds - alone / N_WORKERS) / n]
        for name, (seconds, text) in timings.items()
    ]
    pool, over = alone / timings["local pool"][0], alone / timings["Dask"][0]
    claim = f"{n:,} sections: the local pool {pool:.2f} times, Dask {over:.2f} times as fast as a loop; the same bytes"
    return Result("Sections over processes and a cluster", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
