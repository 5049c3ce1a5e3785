"""Windows of large images beside libraries that read them: `python -m benchmarks.imaging.patches`.

Random windows of 1,024 px of a grey pyramid of 16,384 x 16,384 px (quick: 4,096) that repeats real tissue, in tiles of
512 px: raw, zstd and JPEG TIFF, sharded OME-Zarr (zstd), and RGB as JPEG, which is what slide scanners write. By
cytomesh, zarr of tifffile's view (`aszarr`), zarr-python, tensorstore, with as much to keep as cytomesh or nothing, and
OpenSlide; one thread each, processor seconds, opened anew and at new places every time. Then two processes beside one.
Claim: 1.5 times the windows of `aszarr` in the same seconds, and as many of OME-Zarr as tensorstore, which of a TIFF
decodes the whole page when it opens it; two processes read 1.8 times as many as one, on two processors that are free.
Libraries that are not installed are left out; of one that returns other pixels a row says so.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from benchmarks.common import Options, Result, interleave, main
from benchmarks.imaging.repeated import texture, write_tiles
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.patches import by_cells
from cytomesh.imaging.pyramid import open_image

PATCH_PX, N_WINDOWS, ROUNDS = 1024, 96, 5
CACHE_BYTES = 2**26
OWN = "cytomesh"
COLUMNS = ("what", "CPU ms a window", "windows/s a core", "ratio")

Window = Callable[[int, int], NDArray[np.uint8]]
"""Of the first row and column."""
Open = Callable[[Path], AbstractContextManager[Window]]


def measure(options: Options) -> Result:
    """Time each way in turns, one format after the other, then two processes beside one."""
    side, n, cache_bytes = (4096, 24, CACHE_BYTES >> 4) if options.quick else (16_384, N_WINDOWS, CACHE_BYTES)
    pixels, what = texture(options)
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name, zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
        images = write_images(Path(name), pixels, side)
        for kind, path in images.items():
            rows += compare(kind, path, side, n, cache_bytes)
        for kind in ("JPEG", "OME-Zarr"):
            rows += two_processes(kind, images[kind], side, n)
    title = (
        f"{n} windows of {PATCH_PX} px, {side:,} x {side:,} px that repeat {what}, {cache_bytes >> 20} MiB to be kept"
    )
    return Result(
        title, COLUMNS, rows, "CPU seconds of a way over those of cytomesh, opened for these windows, one thread"
    )


def write_images(folder: Path, pixels: NDArray[np.uint8], side: int) -> dict[str, Path]:
    """Write the images, by what they are."""
    for name, compression in (("raw", None), ("zstd", "zstd"), ("jpeg", "jpeg")):
        write_tiles(folder / f"{name}.tif", pixels, side, compression=compression)
    colours = np.dstack([pixels, 100 + np.roll(pixels, 7, 0) // 2, 255 - pixels // 2])
    write_tiles(folder / "rgb.tif", colours, side, compression="jpeg")
    convert_image(folder / "zstd.tif", folder / "zstd.ome.zarr", 1.0, workers=1)
    names = {
        "raw": "raw.tif",
        "zstd": "zstd.tif",
        "JPEG": "jpeg.tif",
        "RGB JPEG": "rgb.tif",
        "OME-Zarr": "zstd.ome.zarr",
    }
    return {kind: folder / file for kind, file in names.items()}


def compare(kind: str, path: Path, side: int, n: int, cache_bytes: int) -> list[list[Any]]:
    """Return a row for each way to windows of an image."""
    ways = {name: Reader(path, open_windows, side, n) for name, open_windows in ways_to(path, cache_bytes).items()}
    expected = ways[OWN].read(4, seed=1)
    apart = [name for name, way in ways.items() if not all(map(is_same, way.read(4, seed=1), expected))]
    ways[f"{OWN}, by cells"] = replace(ways[OWN], by_cells=True)
    timings = interleave({name: way for name, way in ways.items() if name not in apart}, ROUNDS, time.process_time)
    own = timings[OWN].median
    cells = [
        [f"{kind}: {name}", 1e3 * timing.median / n, n / timing.median, f"{timing.median / own:.2f}"]
        for name, timing in timings.items()
    ]
    return cells + [[f"{kind}: {name}", "other pixels", "", ""] for name in apart]


@dataclass
class Reader:
    """Opens an image and reads n windows, at places that are new every time, and the same for all ways."""

    path: Path
    open: Open
    side: int
    n: int
    seed: int = 2
    by_cells: bool = False
    """In the order in which `read_patches` reads those of a batch."""

    def __call__(self) -> None:
        """Read the next windows, one by one."""
        self.seed += 1
        with self.open(self.path) as window:
            for place in self.places(self.n, self.seed):
                window(*place)

    def read(self, n: int, seed: int) -> list[NDArray[np.uint8]]:
        """Return some windows."""
        with self.open(self.path) as window:
            return [window(*place) for place in self.places(n, seed)]

    def places(self, n: int, seed: int) -> list[list[int]]:
        """Return first rows and columns."""
        places = np.random.default_rng(seed).integers(0, self.side - PATCH_PX, (n, 2))
        return (places[by_cells(places)] if self.by_cells else places).tolist()


def is_same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Return whether two windows have the same pixels to one grey level."""
    one, other = np.atleast_3d(one.squeeze()), np.atleast_3d(other.squeeze())
    return one.shape == other.shape and bool((np.abs(one.astype(np.int16) - other) <= 1).all())


def ways_to(path: Path, cache_bytes: int) -> dict[str, Open]:
    """Return the ways to read an image's windows, cytomesh first."""
    is_tiff = path.suffix == ".tif"
    ways: dict[str, Open] = {OWN: lambda file: by_cytomesh(file, cache_bytes)}
    ways |= {"zarr of tifffile (aszarr)": by_aszarr} if is_tiff else {"zarr": by_zarr}
    if importlib.util.find_spec("tensorstore"):
        ways["tensorstore"] = lambda file: by_tensorstore(file, cache_bytes)
        ways["tensorstore, nothing kept"] = lambda file: by_tensorstore(file, 0)
    if importlib.util.find_spec("openslide") and "rgb" in path.name:
        ways["OpenSlide"] = by_openslide
    return ways


@contextmanager
def by_cytomesh(path: Path, cache_bytes: int) -> Iterator[Window]:
    """Open by cytomesh."""
    with open_image(path, cache_bytes) as image:
        yield lambda row, column: image.read(0, row, row + PATCH_PX, column, column + PATCH_PX)


@contextmanager
def by_aszarr(path: Path) -> Iterator[Window]:
    """Open level 0 of a TIFF by zarr of tifffile's view of it."""
    with tifffile.imread(path, aszarr=True) as store:
        yield _window_of(zarr.open(store, mode="r")["0"])


@contextmanager
def by_zarr(path: Path) -> Iterator[Window]:
    """Open level 0 of an OME-Zarr by zarr."""
    yield _window_of(zarr.open_array(path / "0", mode="r"))


@contextmanager
def by_tensorstore(path: Path, cache_bytes: int) -> Iterator[Window]:
    """Open level 0 by tensorstore on one thread."""
    import tensorstore

    is_tiff = path.suffix == ".tif"
    spec = {
        **({"driver": "tiff", "page": 0} if is_tiff else {"driver": "zarr3"}),
        "kvstore": {"driver": "file", "path": str(path if is_tiff else path / "0")},
        "context": {
            "cache_pool": {"total_bytes_limit": cache_bytes},
            "data_copy_concurrency": {"limit": 1},
            "file_io_concurrency": {"limit": 1},
        },
        "recheck_cached_data": "open",
    }
    array = tensorstore.open(spec, read=True).result()
    yield lambda row, column: array[row : row + PATCH_PX, column : column + PATCH_PX].read().result()


@contextmanager
def by_openslide(path: Path) -> Iterator[Window]:
    """Open by OpenSlide."""
    import openslide

    with openslide.OpenSlide(path) as slide:
        size = PATCH_PX, PATCH_PX
        yield lambda row, column: np.asarray(slide.read_region((column, row), 0, size))[..., :3]


def _window_of(array: Any) -> Window:
    return lambda row, column: np.asarray(array[row : row + PATCH_PX, column : column + PATCH_PX])


def two_processes(kind: str, path: Path, side: int, n: int) -> list[list[Any]]:
    """Return rows: windows of two processes beside those of one in the same seconds, and in seconds of processors."""
    seconds, cpu_seconds = [], []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_read, [(path, side, n, 0)] * 4, chunksize=1)  # modules are imported, the file is in memory
        for seed in range(ROUNDS):
            jobs = [(path, side, 2 * n, 2 * seed + i) for i in range(2)]
            start = time.perf_counter()
            alone = pool.map(_read, jobs[:1], chunksize=1)
            middle = time.perf_counter()
            both = pool.map(_read, jobs, chunksize=1)
            seconds.append(2 * (middle - start) / (time.perf_counter() - middle))
            cpu_seconds.append(4 * sum(alone) / sum(both))
    title = f"{kind}: two processes beside one, windows in the same seconds"
    return [
        [f"{title}{of}", f"{min(values):.2f}-{max(values):.2f}", "", f"{statistics.median(values):.2f}"]
        for of, values in (("", seconds), (" of processors, times 2", cpu_seconds))
    ]


def _read(job: tuple[Path, int, int, int]) -> float:
    path, side, n, seed = job
    start = time.process_time()
    Reader(path, lambda file: by_cytomesh(file, CACHE_BYTES), side, n, seed)()
    return time.process_time() - start


if __name__ == "__main__":
    main(measure, __doc__)
