"""Reading patches beside libraries that do the same: `python -m benchmarks.imaging.libraries`.

Oriented, anti-aliased patches at random places along a folded ribbon, from a pyramidal tiled TIFF and an OME-Zarr too
large to be kept in memory: windows by zarr (of tifffile's store, or of the folder) or tensorstore, resampled by scipy
or torch, and tensorstore's windows under cytomesh's own sampling; all at once, one a call, and the windows alone.
Claim: the same grey levels to one, and less processor time than a window and a resampling for each patch take.
Libraries that are not installed are left out. tensorstore reads windows of OME-Zarr only: it decodes a TIFF's page as
a whole when it opens it, which a row shows, and does not reach the levels in SubIFDs.
"""

from __future__ import annotations

import importlib.util
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
import zarr
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from benchmarks.common import Options, Result, interleave, main
from cytomesh.imaging.halving import halve
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.patches import SLACK, choose_level, read_patches
from cytomesh.imaging.pyramid import Pyramid, open_image

UM = 1.0
TILE_PX = 512
CASES = ((64, 1.0), (256, 1.0), (128, 3.0))
QUICK_CASES = ((128, 1.0), (128, 3.0))
"""Side of a patch, and its pixel size in pixels of the image: 3 is read from the second level, 2 x 2 samples each."""
WINDOW_PX = 256
COLUMNS = ("what", "CPU ms a patch", "ratio", "grey levels apart")

Window = Callable[[int, int, int, int], NDArray[np.uint8]]
Readers = dict[str, Callable[[], Any]]
Sampling = Callable[[NDArray[np.uint8], NDArray[np.float64]], NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Patches:
    """Patches to be read from an image.

    Parameters
    ----------
    path : Path
        TIFF or OME-Zarr.
    centres : (n, 2) float64
        (column, row), pixels of level 0.
    angles_deg : (n,) float64
        Direction of the pial side.
    size_px : int
        Side of a patch.
    step : float
        Pixel size of a patch in pixels of level 0.
    cache_bytes : int
        What may be kept in memory.
    """

    path: Path
    centres: NDArray[np.float64]
    angles_deg: NDArray[np.float64]
    size_px: int
    step: float
    cache_bytes: int


OpenWindow = Callable[[Patches], AbstractContextManager[Window]]


def measure(options: Options) -> Result:
    """Time each way in turns with cytomesh; the quick form takes an image of a quarter, fewer patches and sizes."""
    torch.set_num_threads(1)
    n, half = (100, 2) if options.quick else (300, 1)
    shape, cache = (9000 // half, 8000 // half), 2**26 // half**2
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for kind, path in write_images(Path(name), shape).items():
            for size, step in QUICK_CASES if options.quick else CASES:
                wanted = Patches(path, *ribbon(n, shape), size, step, cache)
                rows += compare(f"{kind}, {size} px by {step:g}", n, patch_readers(wanted))
            single = Patches(path, *ribbon(n, shape), 128, 1.0, cache)
            rows += compare(f"{kind}, 128 px by 1, one a call", n, single_readers(single))
            rows += compare(f"{kind}, windows of {WINDOW_PX} px", n, window_readers(single))
            one = Patches(path, *ribbon(1, shape), 128, 1.0, 0)
            rows += compare(f"{kind}, opened for one window", 1, window_readers(one))
    claim = "CPU seconds of a library over those of cytomesh, one thread"
    title = f"{n} patches of an image of {shape[1]:,} x {shape[0]:,} px, {cache / 2**20:.0f} MiB to be kept"
    return Result(title, COLUMNS, rows, claim)


def compare(title: str, n: int, functions: Readers) -> list[list[Any]]:
    """Return a row for each way to n patches: time, ratio, and how far its result is from that of cytomesh."""
    own = functions["cytomesh"]()
    apart = {name: max(map(difference, function(), own)) for name, function in functions.items()}
    if max(apart.values()) > 1:
        raise RuntimeError(f"{title}: these are not the same patches: {apart}")
    timings = interleave(functions, 3, time.process_time)
    seconds = {name: timing.median for name, timing in timings.items()}
    return [
        [f"{title}: {name}", 1e3 * value / n, f"{value / seconds['cytomesh']:.2f}", apart[name]]
        for name, value in seconds.items()
    ]


def patch_readers(wanted: Patches) -> Readers:
    """Return ways to the patches; each opens the file anew."""
    readers: Readers = {
        "cytomesh": lambda: own_patches(open_image(wanted.path, wanted.cache_bytes), wanted),
        "zarr, scipy": lambda: plain_patches(wanted, zarr_window, by_scipy),
    }
    if has_tensorstore(wanted):
        readers |= {
            "tensorstore, scipy": lambda: plain_patches(wanted, tensorstore_window, by_scipy),
            "tensorstore, torch": lambda: plain_patches(wanted, tensorstore_window, by_torch),
            "cytomesh, windows by tensorstore": lambda: own_patches(TensorstorePyramid(wanted), wanted),
        }
    return readers


def single_readers(wanted: Patches) -> Readers:
    """Return ways to the patches one by one, as a batch that is spread over many sections needs them."""

    def one_by_one(pyramid: Pyramid) -> list[NDArray[np.uint8]]:
        parts = zip(np.split(wanted.centres, len(wanted.centres)), wanted.angles_deg[:, None], strict=True)
        return [own_patches(pyramid, replace(wanted, centres=at, angles_deg=angle)) for at, angle in parts]

    readers: Readers = {"cytomesh": lambda: one_by_one(open_image(wanted.path, wanted.cache_bytes))}
    if has_tensorstore(wanted):
        readers["cytomesh, windows by tensorstore"] = lambda: one_by_one(TensorstorePyramid(wanted))
    return readers


def window_readers(wanted: Patches) -> Readers:
    """Return ways to windows around the patches at full resolution, one after the other; nothing is kept."""
    corners = np.round(wanted.centres[:, ::-1] - WINDOW_PX / 2).astype(int).tolist()
    plain = replace(wanted, cache_bytes=0)

    def by(open_window: OpenWindow) -> list[NDArray[np.uint8]]:
        with open_window(plain) as window:
            return [window(row, row + WINDOW_PX, column, column + WINDOW_PX) for row, column in corners]

    readers: Readers = {"cytomesh": lambda: by(own_window), "zarr": lambda: by(zarr_window)}
    if has_tensorstore(wanted) or (len(corners) == 1 and importlib.util.find_spec("tensorstore")):
        readers["tensorstore"] = lambda: by(tensorstore_window)
    return readers


def own_patches(pyramid: Pyramid, wanted: Patches) -> NDArray[np.uint8]:
    """Return the patches by cytomesh, (n, size, size)."""
    of = wanted.size_px, wanted.step * UM
    return read_patches(pyramid, UM, wanted.centres, wanted.angles_deg, *of)[:, 0]


def plain_patches(wanted: Patches, open_window: OpenWindow, sampling: Sampling) -> NDArray[np.uint8]:
    """Return the patches by a window and a resampling each, (n, size, size)."""
    _, level = level_of(wanted.path, wanted.step)
    step = wanted.step / level.scale[0]
    k = max(1, math.ceil(step / SLACK))
    offset = (np.arange(wanted.size_px * k) - (wanted.size_px * k - 1) / 2) * (step / k)
    right, down = np.meshgrid(offset, offset)
    out = np.empty((len(wanted.centres), wanted.size_px, wanted.size_px), np.uint8)
    with open_window(wanted) as window:
        for i, ((column, row), angle) in enumerate(zip(wanted.centres, np.deg2rad(wanted.angles_deg), strict=True)):
            sine, cosine = math.sin(angle), math.cos(angle)
            at = np.stack([right * cosine + down * sine, right * sine - down * cosine])
            at += ((np.array([row, column]) - level.offset) / level.scale)[:, None, None]
            low, high = np.floor(at.min(axis=(1, 2))).astype(int), np.ceil(at.max(axis=(1, 2))).astype(int) + 2
            samples = sampling(window(low[0], high[0], low[1], high[1]), at - low[:, None, None])
            out[i] = samples.reshape(wanted.size_px, k, wanted.size_px, k).mean(axis=(1, 3)) + 0.5
    return out


def by_scipy(window: NDArray[np.uint8], at: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """Return bilinear samples at (2, m, m) rows and columns."""
    return map_coordinates(window, at, np.float32, order=1)


def by_torch(window: NDArray[np.uint8], at: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """Return bilinear samples at (2, m, m) rows and columns; torch counts from -1 to 1, x first."""
    scaled = (2 * at[::-1] / (np.array(window.shape[::-1])[:, None, None] - 1) - 1).astype(np.float32)
    grid = torch.from_numpy(np.moveaxis(scaled, 0, -1))[None]
    image = torch.from_numpy(window.astype(np.float32))[None, None]
    return torch.nn.functional.grid_sample(image, grid, align_corners=True)[0, 0].numpy()


@contextmanager
def own_window(wanted: Patches) -> Iterator[Window]:
    """Open full resolution by cytomesh."""
    with open_image(wanted.path, wanted.cache_bytes) as pyramid:
        yield lambda *window: pyramid.read(0, *window)[..., 0]


@contextmanager
def zarr_window(wanted: Patches) -> Iterator[Window]:
    """Open the level of the patches by zarr, of a TIFF by tifffile's view of it."""
    index, level = level_of(wanted.path, wanted.step)
    with ExitStack() as opened:
        if is_tiff(wanted):
            store = opened.enter_context(tifffile.imread(wanted.path, aszarr=True))
            array = zarr.open(store, mode="r")[str(index)]
        else:
            array = zarr.open_array(wanted.path / level.name, mode="r")
        yield lambda top, bottom, left, right: np.asarray(array[top:bottom, left:right])


@contextmanager
def tensorstore_window(wanted: Patches) -> Iterator[Window]:
    """Open the level of the patches by tensorstore, with as much to keep as cytomesh, on one thread."""
    import tensorstore

    _, level = level_of(wanted.path, wanted.step)
    spec = {
        **({"driver": "tiff", "page": 0} if is_tiff(wanted) else {"driver": "zarr3"}),
        "kvstore": {"driver": "file", "path": str(wanted.path if is_tiff(wanted) else wanted.path / level.name)},
        "context": {
            "cache_pool": {"total_bytes_limit": wanted.cache_bytes},
            "data_copy_concurrency": {"limit": 1},
            "file_io_concurrency": {"limit": 1},
        },
        "recheck_cached_data": "open",
    }
    array = tensorstore.open(spec, read=True).result()
    if array.rank == 3:
        array = array[..., 0]
    yield lambda top, bottom, left, right: array[top:bottom, left:right].read().result()


def has_tensorstore(wanted: Patches) -> bool:
    """Return whether tensorstore is installed and reads windows of this file."""
    return importlib.util.find_spec("tensorstore") is not None and not is_tiff(wanted)


def is_tiff(wanted: Patches) -> bool:
    """Return whether the file is a TIFF."""
    return wanted.path.suffix == ".tif"


class TensorstorePyramid(Pyramid):
    """Windows by tensorstore, everything else by cytomesh."""

    def __init__(self, wanted: Patches) -> None:
        with open_image(wanted.path) as pyramid:
            self.__dict__.update(path=wanted.path, n_channels=1, levels=pyramid.levels)
        self.window = tensorstore_window(wanted).__enter__()

    def block_shape(self, level: int) -> tuple[int, int]:
        """Return a block that is the level: windows are read whole."""
        return self.levels[level].shape

    def read(self, _: int, row0: int, row1: int, col0: int, col1: int, **to: Any) -> NDArray[np.uint8]:
        """Read a window of the level that was opened, into `out`."""
        to["out"][..., 0] = self.window(row0, row1, col0, col1)
        return to["out"]


@cache
def level_of(path: Path, step: float) -> tuple[int, Any]:
    """Return number and geometry of the level that patches are read from."""
    with open_image(path) as pyramid:
        index = choose_level(pyramid.level_scales, step)
        return index, pyramid.levels[index]


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Return the greatest difference of two patches, grey levels."""
    return int(np.abs(a.astype(np.int16) - b).max())


def ribbon(n: int, shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (column, row) and angle of patches along a folded ribbon, in no order; none reaches the image's border."""
    random = np.random.default_rng(0)
    turn = random.uniform(0, 2 * np.pi, n)
    radius = 0.22 * min(shape) * (1 + 0.25 * np.sin(9 * turn)) + random.uniform(-0.01, 0.01, n) * min(shape)
    direction = np.stack([np.cos(turn), -np.sin(turn)], axis=1)
    centres = np.array(shape[::-1]) / 2 + radius[:, None] * direction
    return centres, np.rad2deg(turn) + random.uniform(-60, 60, n)


def write_images(folder: Path, shape: tuple[int, int]) -> dict[str, Path]:
    """Write spotted tissue with noise as a tiled TIFF, its levels in SubIFDs, and as OME-Zarr."""
    random = np.random.default_rng(1)
    spots = random.integers(60, 236, [-(-n // 8) for n in shape], np.uint8)
    image = np.kron(spots, np.ones((8, 8), np.uint8))[: shape[0], : shape[1]]
    image += random.integers(0, 20, shape, np.uint8)
    paths = {"TIFF": folder / "section.tif", "OME-Zarr": folder / "section.ome.zarr"}
    write_ome_zarr(paths["OME-Zarr"], image, UM)
    levels = [image]
    while max(levels[-1].shape) >= 2 * TILE_PX:
        levels.append(halve(levels[-1][..., None])[..., 0])
    facts = {"tile": (TILE_PX, TILE_PX), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(paths["TIFF"]) as tiff:
        for i, level in enumerate(levels):
            places = {"subifds": len(levels) - 1} if i == 0 else {"subfiletype": 1}
            tiff.write(level, **facts, **places)
    return paths


if __name__ == "__main__":
    main(measure, __doc__)
