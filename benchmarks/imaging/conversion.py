"""Conversion of a large image to OME-Zarr, and reading of a huge one: `python -m benchmarks.imaging.conversion`.

A deflated, tiled BigTIFF of 20,000 x 20,000 px (quick: 4,000) to sharded OME-Zarr 0.5 with levels of 2 x 2 means, by
`convert_image` with two processes, and by ngff-zarr and ome-zarr on Dask with two threads, in turns: chunks of 512 px,
shards of 2,048 px, zstd. Only cytomesh reads the copy back and compares it with the original. Claim: as fast as
either to a tenth, in less than 1 GB: of all its processes added up, though they share libraries.
Then an image of 100,000 x 136,000 px (quick: 25,000 x 34,000), whose tiles repeat real tissue: seconds and memory of
`images info`, of the check of its header and its tiles, of 1,000 patches, and of the conversion of its first 8,000
(2,000) rows, from which that of the whole is extrapolated. The peers are no dependencies; those that are not installed
are left out.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from benchmarks.common import Options, Result, main
from benchmarks.imaging.repeated import texture, write_repeated

THREADS, ROUNDS, N_PATCHES = 2, 3, 1000
POLL_S = 0.05
COLUMNS = ("what", "seconds", "CPU seconds", "MB/s", "peak MB")
OWN = "cytomesh"

PROLOGUE = """
import sys, time
from pathlib import Path
source, target, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
"""
DASK = """
import math, dask, dask.array, tifffile, zarr
dask.config.set(scheduler="threads", num_workers=threads)
image = dask.array.from_zarr(zarr.open(tifffile.imread(source, aszarr=True, level=0), mode="r")).rechunk(2048)
factors = [2 ** level for level in range(1, 1 + math.ceil(math.log2(max(image.shape) / 256 + 1e-9)))]
"""
WAYS = {
    OWN: """
from cytomesh.imaging.convert import convert_image
if __name__ == "__main__":
    convert_image(source, target, 1.0, workers=threads)
""",
    "ngff-zarr": f"""{DASK}
import ngff_zarr
plain = ngff_zarr.to_ngff_image(image, dims=["y", "x"], scale={{"y": 1.0, "x": 1.0}})
levels = ngff_zarr.to_multiscales(plain, factors, ngff_zarr.Methods.DASK_BIN_SHRINK, chunks=512)
ngff_zarr.to_ngff_zarr(str(target), levels, version="0.5", chunks_per_shard=4)
""",
    "ome-zarr": f"""{DASK}
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image
stored = {{"chunks": (512, 512), "shards": (2048, 2048)}}
write_image(image, str(target), factors, method=Methods.LOCAL_MEAN, axes="yx", storage_options=stored)
""",
}
INFO = """
import contextlib, io
from cytomesh.cli.app import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["images", "info", str(source)])
"""
CHECK = """
from cytomesh.study.image_formats.registry import check_pixels, read_header
check_pixels(read_header(source))
"""
PATCHES = f"""
import numpy as np
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
random = np.random.default_rng(0)
with open_image(source) as image:
    centres = random.uniform(0, 1, ({N_PATCHES}, 2)) * image.shape[::-1]
    for some in np.array_split(centres, {N_PATCHES} // 20):
        read_patches(image, 1.0, some, random.uniform(0, 360, len(some)), 512, 1.0)
"""


def measure(options: Options) -> Result:
    """Convert in turns, compare the copies, then work on the huge image."""
    pixels, what = texture(options)
    side, huge, band = (4000, (34_000, 25_000), 2000) if options.quick else (20_000, (136_000, 100_000), 8000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_repeated(folder / "large.tif", pixels, (side, side))
        rows, summary = conversions(folder, side, 1 if options.quick else ROUNDS)
        write_repeated(folder / "huge.tif", pixels, huge)
        title = f"{huge[1]:,} x {huge[0]:,} px"
        tasks = {"images info": INFO, "header and tiles checked": CHECK, f"{N_PATCHES:,} patches": PATCHES}
        for task, code in tasks.items():
            rows.append([f"{title}: {task}", *run(code, folder / "huge.tif", folder / "-").cells()])
        write_repeated(folder / "band.tif", pixels, (band, huge[1]))
        part = run(WAYS[OWN], folder / "band.tif", folder / "band.ome.zarr")
        rows.append([f"{huge[1]:,} x {band:,} px converted", *part.cells(band * huge[1])])
    hours = part.seconds * huge[0] / band / 3600
    claim = f"{summary}; the whole of {title}, extrapolated: {hours:.1f} h"
    return Result(f"Images that repeat {what}, {THREADS} threads", COLUMNS, rows, claim)


def conversions(folder: Path, side: int, rounds: int) -> tuple[list[list[object]], str]:
    """Convert in turns; return rows of medians, and what they show."""
    ways = [way for way in WAYS if way == OWN or importlib.util.find_spec(way.replace("-", "_"))]
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            target = folder / f"{way}.ome.zarr"
            shutil.rmtree(target, ignore_errors=True)
            found[way].append(run(WAYS[way], folder / "large.tif", target))
    for way in ways[1:]:
        compare(folder / f"{OWN}.ome.zarr", folder / f"{way}.ome.zarr")
    costs = {way: median_cost(runs) for way, runs in found.items()}
    rows: list[list[object]] = [[f"{way}, {side:,} px", *costs[way].cells(side**2)] for way in ways]
    peers = " and ".join(
        f"{way} takes {costs[way].seconds / costs[OWN].seconds:.2f} times the seconds of {OWN}" for way in ways[1:]
    )
    return rows, peers or "no peer is installed (ngff-zarr, ome-zarr)"


def compare(own: Path, other: Path) -> None:
    """Raise RuntimeError unless two copies have one finest level, and the next is the same to one grey level."""
    for level, most in (("0", 0), ("1", 1)):
        values = [np.asarray(_level(path, level)[:2048, :2048], np.int16) for path in (own, other)]
        if np.abs(values[0] - values[1]).max() > most:
            raise RuntimeError(f"level {level} of {other.name} is another")


def _level(path: Path, level: str) -> zarr.Array:
    group = zarr.open_group(str(path), mode="r")
    sets = group.attrs["ome"]["multiscales"][0]["datasets"]
    return group[sets[int(level)]["path"]]


@dataclass(frozen=True)
class Cost:
    """What a program took: seconds, those of processors, and the most memory of its processes together, MB."""

    seconds: float
    cpu_seconds: float
    peak_mb: float

    def cells(self, n_px: int | None = None) -> list[object]:
        """Return the cells of a row; speed in megapixels, which are megabytes here, a second."""
        return [self.seconds, self.cpu_seconds, n_px / 1e6 / self.seconds if n_px else "", self.peak_mb]


def median_cost(costs: list[Cost]) -> Cost:
    """Return medians of times, and the most memory."""
    times = (statistics.median(values) for values in zip(*((c.seconds, c.cpu_seconds) for c in costs), strict=True))
    return Cost(*times, max(cost.peak_mb for cost in costs))


def run(code: str, source: Path, target: Path) -> Cost:
    """Run a program with source and target, and look at its memory all the while."""
    script, said = target.parent / "program.py", target.parent / "said.txt"
    script.write_text(PROLOGUE + code)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    words = [sys.executable, str(script), str(source), str(target), str(THREADS)]
    start, before, peak = time.perf_counter(), _cpu_seconds(), 0.0
    with said.open("w") as output, subprocess.Popen(words, env=environment, stdout=output, stderr=output) as process:
        while process.poll() is None:
            peak = max(peak, memory_mb(process.pid))
            time.sleep(POLL_S)
    if process.returncode:
        raise RuntimeError(said.read_text())
    return Cost(time.perf_counter() - start, _cpu_seconds() - before, peak)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process and all that it started, added up (Linux), MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0  # ended just now
    own = sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    return own + sum(memory_mb(int(child)) for child in children)


if __name__ == "__main__":
    main(measure, __doc__)
