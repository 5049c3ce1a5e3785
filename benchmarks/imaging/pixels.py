"""What channels, windows and slide formats cost: `python -m benchmarks.imaging.pixels`.

Oriented patches from tiled images of one content: 8-bit grey and RGB as they are, 16 bits in a window, one of four
channels that are stored apart, luminance and a stain of RGB; and one slide (tiled JPEG) by OpenSlide beside the same
file by tifffile. Claim: the same grey levels to one, a window costs less than decoding does, one channel of four costs
no more than a grey image of 16 bits, and OpenSlide reads what tifffile reads. Slides only with `[openslide]`.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.common import Options, Result, interleave, main
from benchmarks.imaging.libraries import ribbon
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.pixels import BT601, ImageSettings

TILE_PX, PATCH_PX, N_CHANNELS = 512, 256, 4
WINDOW = (300, 16_300)
STAIN = "hematoxylin"
GREY, RGB = "grey, 8 bits", "RGB, 8 bits"
COLUMNS = ("what", "CPU ms a patch", "ratio", "to")
Patches = NDArray[np.uint8]


def measure(options: Options) -> Result:
    """Time each way in turns; the quick form takes an image of a quarter and fewer patches."""
    n, side = (30, 2048) if options.quick else (150, 6144)
    places = ribbon(n, (side, side))
    with tempfile.TemporaryDirectory() as name:
        readers, peers = write_all(Path(name), side, *places)
        check({what: read() for what, read in readers.items()})
        timings = interleave(readers, 3, time.process_time)
    seconds = {what: timing.median for what, timing in timings.items()}
    rows = [
        [what, 1e3 * value / n, f"{value / seconds[peers[what]]:.2f}", peers[what]] for what, value in seconds.items()
    ]
    title = f"{n} patches of {PATCH_PX} px of images of {side:,} x {side:,} px, 64 MiB to be kept"
    return Result(title, COLUMNS, rows, "CPU seconds over those of the plain image of the same size, one thread")


def write_all(
    folder: Path, side: int, centres: NDArray[np.float64], angles: NDArray[np.float64]
) -> tuple[dict[str, Callable[[], Patches]], dict[str, str]]:
    """Write the images; return ways to their patches, and what each is compared with."""
    random = np.random.default_rng(0)
    tile = gaussian_filter(random.normal(size=(side // 4, side // 4, N_CHANNELS)), (2, 2, 0), mode="wrap")
    light = np.tile((tile - tile.min()) / np.ptp(tile), (4, 4, 1))
    light += random.normal(0, 0.01, light.shape)
    deep = (WINDOW[0] + np.ptp(WINDOW) * light).clip(0, 65535).astype(np.uint16)
    eight = np.rint(((deep - np.float32(WINDOW[0])) * (255 / np.ptp(WINDOW))).clip(0, 255)).astype(np.uint8)
    tiled: dict[str, Any] = {"tile": (TILE_PX, TILE_PX), "compression": "zlib", "metadata": None}
    tifffile.imwrite(folder / "grey.tif", eight[..., 1], **tiled)
    tifffile.imwrite(folder / "deep.tif", deep[..., 1], **tiled)
    tifffile.imwrite(folder / "apart.ome.tif", np.moveaxis(deep, 2, 0), **tiled | {"metadata": {"axes": "CYX"}})
    tifffile.imwrite(folder / "rgb.tif", eight[..., :3], photometric="rgb", **tiled)

    def of(name: str, **settings: Any) -> Callable[[], Patches]:
        def read() -> Patches:
            with open_image(folder / name, settings=ImageSettings(**settings)) as image:
                return read_patches(image, 1.0, centres, angles, PATCH_PX, 1.0)

        return read

    ways: dict[str, tuple[Callable[[], Patches], str]] = {
        GREY: (of("grey.tif"), GREY),
        "grey, 16 bits in a window": (of("deep.tif", window=WINDOW), GREY),
        "one of four channels, 16 bits": (of("apart.ome.tif", window=WINDOW, channels=1), GREY),
        RGB: (of("rgb.tif"), RGB),
        "luminance": (of("rgb.tif", channels="luminance"), RGB),
        STAIN: (of("rgb.tif", channels=STAIN), RGB),
    }
    if importlib.util.find_spec("openslide"):
        jpeg: dict[str, Any] = {
            "photometric": "rgb",
            "compression": "jpeg",
            "description": "Aperio Image Library v11|MPP = 1",
        }
        tifffile.imwrite(folder / "slide.svs", eight[..., :3], **tiled | jpeg)
        shutil.copy(folder / "slide.svs", folder / "slide.tif")
        plain = "tiled JPEG by tifffile"
        ways |= {plain: (of("slide.tif"), plain), "tiled JPEG by OpenSlide": (of("slide.svs"), plain)}
    return {what: read for what, (read, _) in ways.items()}, {what: peer for what, (_, peer) in ways.items()}


def check(found: dict[str, Patches]) -> None:
    """Raise RuntimeError unless patches of one content are the same."""
    grey, colours = found[GREY], found[RGB]
    pairs = [(found["grey, 16 bits in a window"], grey), (found["one of four channels, 16 bits"], grey)]
    # sampled after mixing, and mixed after sampling: rounded twice
    pairs.append((found["luminance"][:, 0], np.rint(np.einsum("ncij,c->nij", colours, BT601))))
    if "tiled JPEG by OpenSlide" in found:
        pairs.append((found["tiled JPEG by OpenSlide"], found["tiled JPEG by tifffile"]))
    apart = [float(np.abs(one.astype(float) - other).max()) for one, other in pairs]
    if max(apart) > 1:
        raise RuntimeError(f"patches of one content differ by {apart} grey levels")


if __name__ == "__main__":
    main(measure, __doc__)
