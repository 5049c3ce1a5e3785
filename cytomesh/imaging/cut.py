"""Cut-outs: a region of an image at any pixel size, in a file that states its scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cytomesh.core.errors import ImageError, shown
from cytomesh.core.files import atomic_path, clear_orphans
from cytomesh.imaging.patches import SLACK, choose_level
from cytomesh.imaging.pyramid import StoredPyramid, open_stored
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.sections import Section

MAX_BYTES = 1 << 31
"""Of the pixels of a cut-out, and of what is read for it."""
TILE_PX = 512
ROUNDING = 1e-6
"""Edges this near those of pixels lie on them."""
TIFF, PNG = (".tif", ".tiff"), (".png",)
PNG_HOLDS = {("uint8", 1), ("uint8", 3), ("uint16", 1)}
UM_PER_M, UM_PER_CM = 1e6, 1e4


def cut_box(
    pyramid: StoredPyramid, um_per_px_of_level0: float, box: tuple[int, int, int, int], um_per_px: float | None = None
) -> NDArray[Any]:
    """Cut a box out of an image; at a coarser pixel size, pixels are means over their area.

    The coarsest level that is not coarser than the target is read.

    Parameters
    ----------
    pyramid : StoredPyramid
        Of which values are taken as they are (`open_stored`, `open_image`).
    um_per_px_of_level0 : float
        Pixel size of level 0, um.
    box : (int, int, int, int)
        First column, first row, width and height, pixels of level 0.
    um_per_px : float or None
        Wanted pixel size, um, not finer than that of level 0; None: as it is stored.

    Returns
    -------
    (rows, columns, channels) of the image's dtype
        `round(width * um_per_px_of_level0 / um_per_px)` columns, rows likewise, at least one: the last pixel ends
        with the box to half of its width.

    Raises
    ------
    ImageError
        If the box does not lie within the image, is larger than 2 GB or smaller than half a wanted pixel, or finer
        pixels are wanted than there are.
    """
    column, row, width, height = box
    rows, columns = pyramid.shape
    if width < 1 or height < 1 or column < 0 or row < 0 or column + width > columns or row + height > rows:
        found = f"a box of {width} x {height} px from column {column}, row {row}"
        raise ImageError(pyramid.path, found=found, expected=f"a box within {columns} columns and {rows} rows")
    step = 1.0 if um_per_px is None else um_per_px / um_per_px_of_level0
    if min(width, height) < step / 2:
        found = f"a box of {width} x {height} px for pixels as large as {step:g} of them"
        raise ImageError(pyramid.path, found=found, expected="half a pixel at least", hint="ask for finer ones")
    refuse_pixel_size(pyramid, um_per_px_of_level0, um_per_px_of_level0 * step)
    level = choose_level(pyramid.level_scales, step)
    place = pyramid.levels[level]
    starts, lengths = (row, column), (height, width)
    axes = [
        _means(start, length, step, scale, offset, n)
        for start, length, scale, offset, n in zip(starts, lengths, place.scale, place.offset, place.shape, strict=True)
    ]
    (by_row, row0), (by_column, column0) = axes
    n_values = max(by_row.shape[0] * by_column.shape[0], by_row.shape[1] * by_column.shape[1]) * pyramid.n_channels
    way_out = "coarser pixels (--um-per-px) or a smaller box; 'images convert' copies whole images"
    refuse_large(pyramid, n_values * max(pyramid.dtype.itemsize, 4), way_out)
    window = pyramid.read(level, row0, row0 + by_row.shape[1], column0, column0 + by_column.shape[1])
    if window.shape[:2] == (by_row.shape[0], by_column.shape[0]) and step == place.scale[0] == place.scale[1]:
        return window
    planes = [by_row @ (by_column @ window[:, :, c].astype(np.float64).T).T for c in range(pyramid.n_channels)]
    means = np.stack(planes, axis=-1)
    return np.asarray(means if pyramid.dtype.kind == "f" else np.rint(means), pyramid.dtype)


def refuse_pixel_size(pyramid: StoredPyramid, um_per_px_of_level0: float, um_per_px: float) -> None:
    """Raise ImageError if finer pixels are wanted than there are, or pixels larger than the image."""
    most = um_per_px_of_level0 * max(pyramid.shape)
    if um_per_px * SLACK < um_per_px_of_level0 or um_per_px > most:
        hint = "leave --um-per-px out for the pixels as they are"
        expected = f"{um_per_px_of_level0:g} um/px, the image's own, or more, up to its side of {most:g} um"
        raise ImageError(pyramid.path, "um_per_px", found=f"{um_per_px:g}", expected=expected, hint=hint)


def refuse_large(pyramid: StoredPyramid, n_bytes: int, way_out: str) -> None:
    """Raise ImageError if a cut-out, or what is read for it, is larger than `MAX_BYTES`."""
    if n_bytes > MAX_BYTES:
        found, hint = f"a cut-out for which {n_bytes / 1e9:,.1f} GB are read", f"ask for {way_out}"
        raise ImageError(pyramid.path, found=found, expected="2 GB at most", hint=hint)


def cut_stored(
    path: str | Path,
    box: tuple[int, int, int, int],
    um_per_px: float | None = None,
    *,
    um_per_px_of_level0: float | None = None,
    part: ImagePart = THE_ONLY,
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Cut a box out of an image file, values as they are stored; see `cut_box`.

    Parameters
    ----------
    um_per_px_of_level0 : float or None
        None: as the file says.

    Returns
    -------
    pixels : (rows, columns, channels)
    facts : dict
        `image`, `box_px` and `um_per_px` of the cut-out, `channels` if the file names them.

    Raises
    ------
    ImageError
        As of `cut_box` and `open_stored`; also if nothing says how large a pixel is.
    """
    with open_stored(path, part=part) as pyramid:
        own = um_per_px_of_level0 or pyramid.um_per_px
        if own is None:
            hint = "give a section of a study, which says it (--section), or convert it with --um-per-px"
            raise ImageError(path, found="no pixel size in the file", expected="um/px", hint=hint)
        pixels = cut_box(pyramid, own, box, um_per_px)
        names = {"channels": list(pyramid.channel_names)} if pyramid.channel_names else {}
    return pixels, {"image": shown(path), "box_px": list(box), "um_per_px": um_per_px or own, **names}


def cut_section(
    section: Section, box: tuple[int, int, int, int], um_per_px: float | None = None
) -> tuple[NDArray[Any], dict[str, Any]]:
    """Cut a box out of a section's image, as `cut_stored`; the pixel size is that of the study."""
    if section.image is None:
        raise ImageError(section.name, found="no image", expected="a section with an image")
    own, part = section.um_per_px, section.image_part
    pixels, facts = cut_stored(section.image, box, um_per_px, um_per_px_of_level0=own, part=part)
    return pixels, {"section": section.name, **facts}


def _means(start: int, length: int, step: float, scale: float, offset: float, n: int) -> tuple[sp.csr_matrix, int]:
    """Return the weights of a level's pixels in those of a cut-out along one axis, (wanted, read), and the first read.

    Each wanted pixel is the mean over what it covers; pixels of a level weigh as much as lies within it.
    """
    wanted = max(1, round(length / step))
    edges = (start - 0.5 + step * np.arange(wanted + 1) - offset) / scale + 0.5  # in the level's pixels, from its side
    edges = np.clip(np.where(np.abs(edges - np.rint(edges)) < ROUNDING, np.rint(edges), edges), 0, n)
    first, end = int(np.floor(edges[0])), int(np.ceil(edges[-1]))
    pieces = np.unique(np.concatenate([edges, np.arange(first, end + 1)]))
    middles, sizes = (pieces[1:] + pieces[:-1]) / 2, np.diff(pieces)
    of_wanted = np.searchsorted(edges, middles) - 1
    inside = (of_wanted >= 0) & (of_wanted < wanted)
    places = (of_wanted[inside], np.floor(middles[inside]).astype(np.int64) - first)
    covered = sp.csr_matrix((sizes[inside], places), shape=(wanted, end - first))
    return sp.csr_matrix(covered.multiply(1 / covered.sum(axis=1))), first


def write_cut(path: Path, pixels: NDArray[Any], um_per_px: float, channel_names: Sequence[str] = ()) -> None:
    """Write a cut-out as TIFF (with OME's pixel size, too) or PNG, whole or not at all, its scale in the header.

    Parameters
    ----------
    path : Path
        `.tif`, `.tiff` or `.png`.
    pixels : (rows, columns, channels) uint8, uint16 or float32
        PNG takes 8 bits grey or RGB, and 16 bits grey.
    um_per_px : float
    channel_names : sequence of str
        Kept in a TIFF; three channels that have names of their own are not RGB.

    Raises
    ------
    ImageError
        If the format cannot hold the pixels.
    """
    kind = path.suffix.lower()
    if kind not in (*TIFF, *PNG):
        raise ImageError(path, found=f"the ending '{kind}'", expected="one of .tif, .tiff, .png")
    rows, columns, n_channels = pixels.shape
    plain = pixels[:, :, 0] if n_channels == 1 else pixels
    clear_orphans(path.parent)
    with atomic_path(path) as temporary:
        if kind in PNG:
            if (pixels.dtype.name, n_channels) not in PNG_HOLDS:
                found = f"{pixels.dtype} of {n_channels} channels"
                raise ImageError(path, found=found, expected="8 bits grey or RGB, or 16 bits grey", hint="write a .tif")
            scale = UM_PER_M / um_per_px * 0.0254  # Pillow counts in inches, the file in metres
            Image.fromarray(plain).save(temporary, format="PNG", dpi=(scale, scale))
            return
        is_rgb = n_channels == 3 and not channel_names
        size = {"PhysicalSizeX": um_per_px, "PhysicalSizeY": um_per_px}
        units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
        names = {"Channel": {"Name": list(channel_names)}} if channel_names else {}
        tifffile.imwrite(
            temporary,
            plain if n_channels == 1 or is_rgb else np.moveaxis(pixels, -1, 0),
            ome=True,
            photometric="rgb" if is_rgb else "minisblack",
            metadata={"axes": "YX" if n_channels == 1 else "YXS" if is_rgb else "CYX", **size, **units, **names},
            resolution=(UM_PER_CM / um_per_px, UM_PER_CM / um_per_px),
            resolutionunit="CENTIMETER",
            compression="zlib",
            tile=(TILE_PX, TILE_PX) if max(rows, columns) > TILE_PX else None,
        )
