"""Oriented patches as training reads them, beside pure decoding: `python -m benchmarks.imaging.oriented`.

Patches of 2,048 px at 2 um/px, turned by any angle, from pyramids of 16,384 px of 1 um (quick: 512 px from 4,096) that
repeat real tissue, in tiles of 512 px: JPEG, RGB JPEG and zstd TIFF, and sharded OME-Zarr; eight a call, opened anew.
Beside them the tiles that the patches touch, each decoded once, and nothing else; patches whose blocks are all in
memory, which is what resampling takes; their way to a tensor; and the same resampling by torch's `grid_sample` on the
CPU, from windows that are ready. One thread, processor seconds.
Claim: 0.8 of the patches that pure decoding would allow.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Options, Result, interleave, main
from benchmarks.imaging.patches import write_images
from benchmarks.imaging.repeated import texture
from cytomesh.imaging.patches import Square, choose_level, read_patches
from cytomesh.imaging.pyramid import Pyramid, open_image
from cytomesh.study.image_formats.registry import open_reader, read_header

UM, PATCH_UM = 1.0, 2.0
N_PATCHES, ROUNDS = 8, 5
EVERYTHING = 2**31
COLUMNS = (
    "what",
    "CPU ms a patch",
    "patches/s",
    "decoded, ms",
    "resampled, ms",
    "to a tensor, ms",
    "of decoding alone",
)


@dataclass(frozen=True)
class Wanted:
    """Patches of an image.

    Parameters
    ----------
    centres : (n, 2) float64
        (column, row), pixels of level 0.
    angles_deg : (n,) float64
    size_px : int
    """

    centres: NDArray[np.float64]
    angles_deg: NDArray[np.float64]
    size_px: int

    def read(self, image: Pyramid) -> NDArray[np.uint8]:
        """Return the patches, (n, c, size, size)."""
        return read_patches(image, UM, self.centres, self.angles_deg, self.size_px, PATCH_UM)

    def squares(self, image: Pyramid) -> tuple[int, list[Square]]:
        """Return the level that they are read from, and where they lie in it."""
        index = choose_level(image.level_scales, PATCH_UM / UM)
        level = image.levels[index]
        at = (self.centres[:, ::-1] - level.offset) / level.scale
        step = PATCH_UM / UM / image.level_scales[index]
        angles = np.deg2rad(self.angles_deg)
        steps = zip(at, np.sin(angles) * step, np.cos(angles) * step, strict=True)
        return index, [Square(row, column, sine, cosine, self.size_px) for (row, column), sine, cosine in steps]


def measure(options: Options) -> Result:
    """Time the patches and their parts in turns, one format after the other."""
    torch.set_num_threads(1)
    side, size_px = (4096, 512) if options.quick else (16_384, 2048)
    random = np.random.default_rng(0)
    margin = size_px * PATCH_UM * 0.71
    centres = random.uniform(margin, side - margin, (N_PATCHES, 2))
    wanted = Wanted(centres, random.uniform(0, 360, N_PATCHES), size_px)
    pixels, what = texture(options)
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for kind, path in write_images(Path(name), pixels, side).items():
            rows += compare(kind, path, wanted)
    title = (
        f"{N_PATCHES} patches of {size_px:,} px at 2 um/px a call, {side:,} x {side:,} px of 1 um that repeat {what}"
    )
    return Result(
        title, COLUMNS, rows, "of decoding alone: seconds of decoding each touched tile once over all seconds"
    )


def compare(kind: str, path: Path, wanted: Wanted) -> list[list[Any]]:
    """Return rows for the patches of an image: by cytomesh, and by `grid_sample`."""
    with open_image(path, EVERYTHING) as ready:
        patches = wanted.read(ready)
        tiles = touched(ready, wanted)
        samplers = windows(ready, wanted)
        apart = [
            np.abs(by_grid_sample(*one).astype(np.int16) - two).max()
            for one, two in zip(samplers, patches, strict=True)
        ]
        if max(apart) > 1:
            raise RuntimeError(f"{kind}: grid_sample gives other patches, by {max(apart)} grey levels")

        def read() -> None:
            with open_image(path) as image:
                wanted.read(image)

        parts: dict[str, Callable[[], Any]] = {
            "all": read,
            "decode": lambda: decode(path, *tiles),
            "resample": lambda: wanted.read(ready),
            "transfer": lambda: torch.from_numpy(patches).to("cpu"),
            "torch": lambda: [by_grid_sample(*one) for one in samplers],
        }
        ms = {part: 1e3 * t.median / N_PATCHES for part, t in interleave(parts, ROUNDS, time.process_time).items()}
    own, limit = ms["all"], ms["decode"]
    rest = [ms["decode"], ms["resample"], ms["transfer"], f"{limit / own:.2f}"]
    by_torch = limit + ms["torch"]
    return [
        [f"{kind}: cytomesh, {len(tiles[1]) / N_PATCHES:.1f} tiles a patch", own, 1e3 / own, *rest],
        [f"{kind}: decoding, grid_sample", by_torch, 1e3 / by_torch, limit, ms["torch"], "", f"{limit / by_torch:.2f}"],
    ]


def touched(image: Pyramid, wanted: Wanted) -> tuple[int, list[tuple[int, int]]]:
    """Return the level, and which of its tiles the patches touch."""
    index, squares = wanted.squares(image)
    shape, block = image.levels[index].shape, image.block_shape(index)
    found: set[tuple[int, int]] = set()
    for square in squares:
        low, high = square.window(shape)
        first = np.array(low) // block
        found |= {tuple(place) for place in (np.argwhere(square.touches(low, high, block)) + first).tolist()}
    return index, sorted(found)


def decode(path: Path, level: int, tiles: list[tuple[int, int]]) -> None:
    """Decode some tiles of a level, each once."""
    reader = open_reader(read_header(path))
    array = reader.array(level)
    for row, column in tiles:
        array.decode((row, column, 0)[: len(array.shape)])
    reader.close()


def windows(image: Pyramid, wanted: Wanted) -> list[tuple[NDArray[np.uint8], Square, tuple[int, int]]]:
    """Return a window of pixels for each patch, with the patch and the window's corner."""
    index, squares = wanted.squares(image)
    found = []
    for square in squares:
        low, high = square.window(image.levels[index].shape)
        found.append((image.read(index, low[0], high[0], low[1], high[1]), square, low))
    return found


def by_grid_sample(window: NDArray[np.uint8], square: Square, low: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a patch, (c, size, size), by torch, whose positions count from -1 to 1 over the corners of pixels."""
    height, width = window.shape[:2]
    half = 0.5 * square.size_px
    # column and row of the window over (right, down, 1), right and down from -1 to 1
    columns = [square.sine * half, -square.cosine * half, square.column - low[1] + 0.5]
    rows = [square.cosine * half, square.sine * half, square.row - low[0] + 0.5]
    scaled = [
        [2 * value / n - (i == 2) for i, value in enumerate(line)] for line, n in ((columns, width), (rows, height))
    ]
    size = [1, 1, square.size_px, square.size_px]
    grid = torch.nn.functional.affine_grid(torch.tensor([scaled], dtype=torch.float32), size, align_corners=False)
    pixels = torch.from_numpy(window).permute(2, 0, 1)[None].float()
    sampled = torch.nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return (sampled[0] + 0.5).to(torch.uint8).numpy()


if __name__ == "__main__":
    main(measure, __doc__)
