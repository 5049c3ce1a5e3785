"""The outer boundary of the tissue in a raw section, where nobody has drawn it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import binary_opening, gaussian_filter, label, uniform_filter
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.core.config import Config
from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.core.files import clear_orphans
from cytomesh.core.run import lock
from cytomesh.core.section_log import SectionLog, file_key
from cytomesh.core.sections import SectionTask, left_out_facts, map_sections
from cytomesh.imaging.pyramid import Pyramid, open_image, open_unnormalised
from cytomesh.study.contour_formats.geojson import write_geojson
from cytomesh.study.contour_formats.masks import mask_rings
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contours import TISSUE
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.manifest import is_manifest
from cytomesh.study.sections import Section
from cytomesh.study.study import open_study

# Width of the frame in which background is looked for, as a share of the shorter side.
FRAME = 0.02
COLOUR_BIN = 8
# Glass is flat: smoothed by so many pixels, grey levels deviate by less than FLAT within a window. White matter, which
# may be as light, does not: by 1.3 to 7 in sections of five species (glass of scanners: 0 to 0.8).
FLAT_BLUR, FLAT_WINDOW, FLAT = 1.0, 7, 0.9
# Colours of less of the frame are looked past.
LEAST_GLASS = 0.02
# For outlines, a colour of so much of the frame is glass, be it as noisy as it may, if no more of the image than
# `BEYOND` lies on its other side: dust on glass.
MOSTLY_GLASS, BEYOND = 0.75, 0.005
# Grey levels that no scanner tells from the background.
FAINTEST = 3.0
N_BINS = 256
# Near half-way between background and faint tissue: a pixel that is cut in two.
CONTRAST = 0.6


class TissueConfig(Config):
    """How the tissue boundary is found."""

    max_px: int = Field(default=2048, ge=64)
    """The finest level whose longer side is at most this is worked on (or the coarsest there is), pixels."""
    blur_px: float = Field(default=0.5, ge=0)
    """Gaussian against noise, pixels of that level."""
    opening_px: int = Field(default=2, ge=0)
    """Threads thinner than about twice this are cut off, pixels of that level."""
    smallest_part: float = Field(default=0.01, ge=0, le=1)
    """Pieces smaller than this share of the largest one are dropped: dust, lettering, scale bars."""
    smallest_hole: float = Field(default=0.05, ge=0, le=1)
    """Holes smaller than this share of the largest piece are filled; 1 fills all."""


def extract_tissue(pyramid: Pyramid, settings: TissueConfig) -> MultiPolygon:
    """Return the boundary of the tissue in full-resolution pixels, centres at integers.

    The background's colour is that of the glass along the image's frame (see `background`); a pixel is as far from it
    as its most different channel. Otsu's threshold on the logarithm of that distance tells tissue from scanner noise:
    faint white matter and dark cell layers are one class there. The boundary is then where a pixel is as far from the
    background as `CONTRAST` of the faintest tenth of the tissue, so that narrow sulci stay open.

    Raises
    ------
    ImageError
        If there is no background along the frame, or nothing differs from it.
    """
    level, image = pyramid.read_small(settings.max_px)
    pixels = image.astype(np.float32)
    glass = background(pixels)
    if glass is None:
        glass = _noisy_background(pixels)
    if glass is None:
        raise ImageError(
            pyramid.path,
            found="no glass along the border of the image: white matter and glass cannot be told apart",
            expected="a section with glass around it, or in a corner",
            hint="draw the outline by hand, or leave a rim of glass when you crop images",
        )
    mask = tissue_mask(pixels, glass, settings)
    if not mask.any():
        raise ImageError(
            pyramid.path, found="no tissue: nothing differs from the background", expected="a stained section"
        )
    polygons = [Polygon(rings[0], rings[1:]) for rings in even_odd(mask_rings(mask), pyramid.path)]
    scale, offset = np.array(level.scale[::-1]), np.array(level.offset[::-1])
    region = shapely.transform(MultiPolygon(polygons), lambda points: points * scale + offset)
    return _within(region.simplify(0.25 * float(scale.max())), pyramid.shape)


def tissue_mask(image: NDArray[np.float32], glass: NDArray[np.float32], settings: TissueConfig) -> NDArray[np.bool_]:
    """Return where (h, w, c) pixels are tissue on (c,) glass: cleaned pieces, with small holes filled."""
    smooth = gaussian_filter(image, (settings.blur_px, settings.blur_px, 0))
    distance = np.abs(smooth - glass).max(axis=2)
    if distance.max() < FAINTEST:
        return np.zeros(distance.shape, np.bool_)
    mask = distance > threshold(distance)
    if settings.opening_px:
        mask = binary_opening(mask, _disc(settings.opening_px))
    mask, area = _keep_large(mask, settings.smallest_part)
    # what is background, but no part of it touches the frame or is large, is a hole
    empty, n = label(np.pad(~mask, 1, constant_values=True))
    sizes = np.bincount(empty.ravel(), minlength=n + 1)
    is_open = sizes >= settings.smallest_hole * area if settings.smallest_hole < 1 else np.zeros(n + 1, bool)
    is_open[empty[0, 0]] = True
    is_open[0] = False
    filled: NDArray[np.bool_] = ~is_open[empty][1:-1, 1:-1]
    return filled


def background(image: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the colour (c,) of the glass along the frame of an (h, w, c) image.

    It is the commonest colour of which most pixels are flat: tissue may touch much of the frame, and the white matter
    of a block that was cropped to tissue may touch more of it than the glass does, but has structure.

    Returns
    -------
    (c,) float32 or None
        None where no glass can be told: in a block without any, say.
    """
    frame = _frame(image)
    is_flat = _deviation(image)[frame] < FLAT
    colour, counts = _colours(image[frame])
    is_glass = (np.bincount(colour, weights=is_flat) > 0.5 * counts) & (counts >= LEAST_GLASS * len(colour))
    if not is_glass.any():
        return None
    return np.median(image[frame][colour == np.where(is_glass, counts, 0).argmax()], axis=0)


def _noisy_background(image: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the colour (c,) of which nearly all of the frame is, be it flat or not, if nothing lies beyond it.

    For outlines only, which people look at: white matter that fills the frame of a crop without glass looks like this,
    too. Glass is lighter, or darker in fluorescence, and white matter lies between it and the cortex.
    """
    pixels = image[_frame(image)]
    colour, counts = _colours(pixels)
    glass = np.median(pixels[colour == counts.argmax()], axis=0)
    if (np.abs(pixels - glass).max(axis=1) <= COLOUR_BIN).mean() < MOSTLY_GLASS:
        return None
    away = gaussian_filter(image, (FLAT_BLUR, FLAT_BLUR, 0)).mean(axis=2) - glass.mean()
    return glass if min((away > COLOUR_BIN).mean(), (away < -COLOUR_BIN).mean()) < BEYOND else None


def _frame(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (h, w): the frame in which background is looked for."""
    width = max(1, int(FRAME * min(image.shape[:2])))
    frame = np.ones(image.shape[:2], bool)
    frame[width:-width, width:-width] = False
    return frame


def _colours(pixels: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the colour, in coarse steps, of each of (n, c) pixels, by number, and how many pixels have it."""
    bins = (pixels // COLOUR_BIN).astype(np.int64)
    _, colour, counts = np.unique(bins @ (64 ** np.arange(pixels.shape[1])), return_inverse=True, return_counts=True)
    return colour, counts


def _deviation(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (h, w) standard deviation of smoothed grey levels around each pixel, in the roughest channel."""
    smooth = gaussian_filter(image, (FLAT_BLUR, FLAT_BLUR, 0))
    size = (FLAT_WINDOW, FLAT_WINDOW, 1)
    variance = uniform_filter(smooth**2, size) - uniform_filter(smooth, size) ** 2
    return np.sqrt(np.maximum(variance, 0)).max(axis=2)


def threshold(distance: NDArray[np.float32]) -> float:
    """Return the distance from the background, in grey levels, at which tissue begins (see `extract_tissue`)."""
    floor = max(_otsu_of_logarithms(distance), FAINTEST)
    tissue = distance[distance > floor]
    return max(floor, CONTRAST * float(np.percentile(tissue, 10))) if tissue.size else floor


def _otsu_of_logarithms(distance: NDArray[np.float32]) -> float:
    counts, edges = np.histogram(np.log1p(distance), bins=N_BINS)
    middle = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts)[:-1]
    total, mass = weight[-1] + counts[-1], np.cumsum(counts * middle)
    below = mass[:-1] / np.maximum(weight, 1)
    above = (mass[-1] - mass[:-1]) / np.maximum(total - weight, 1)
    best = int((weight * (total - weight) * (below - above) ** 2).argmax())
    return float(np.expm1(edges[best + 1]))


def _keep_large(mask: NDArray[np.bool_], share: float) -> tuple[NDArray[np.bool_], int]:
    """Return the pieces of at least `share` of the largest one, and its area."""
    pieces, n = label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)
    sizes[0] = 0
    largest = int(sizes.max(initial=0))
    is_kept = (sizes >= share * largest) & (sizes > 0)
    return is_kept[pieces], largest


def _disc(radius: int) -> NDArray[np.bool_]:
    steps = np.arange(-radius, radius + 1)
    return steps[:, None] ** 2 + steps**2 <= radius**2 + 0.5


def _within(region: MultiPolygon | Polygon, shape: tuple[int, int]) -> MultiPolygon:
    frame = shapely.box(-0.5, -0.5, shape[1] - 0.5, shape[0] - 0.5)
    parts = shapely.get_parts(shapely.intersection(shapely.make_valid(region), frame))
    return MultiPolygon([part for part in parts if isinstance(part, Polygon)])


def extract_all(
    source: Path,
    out: Path,
    settings: TissueConfig,
    workers: int,
    *,
    scheduler: str | None = None,
    skip_bad: bool = False,
) -> dict[str, Any]:
    """Write the tissue of one image to the file `out`, or of each section of a study into the folder `out`.

    A section of a study is kept if its image and the settings are the same, and its file is as it was written.

    Parameters
    ----------
    source : Path
        Image, or `study.yaml`.
    out : Path
    settings : TissueConfig
    workers : int
        Processes.
    scheduler : str or None
        Address of a Dask scheduler whose workers do the sections of a study.
    skip_bad : bool
        Whether to leave out images without tissue, or that cannot be read, of a study.

    Returns
    -------
    dict
        `files`, and `area_mm2`: the median area, of images whose pixel size is known; `left_out`: what is wrong with
        each section that is left out.
    """
    if not is_manifest(source):
        clear_orphans(out.parent)
        area = _extract_one((source, out, read_header(source).um_per_px), settings)
        return {"files": 1, "area_mm2": area}
    study = open_study(source)
    out = Path(os.path.abspath(out))  # noqa: PTH100 (other machines are in other folders)
    tasks = []
    for section in (section for brain in study.brains for section in brain.sections):
        if section.image:
            output = out / f"sub-{section.brain}_section-{section.index}_tissue.geojson"
            seen = section.image_settings.facts | section.image_part.facts
            key = file_key(section.image, um_per_px=section.um_per_px, **seen, **settings.model_dump())
            tasks.append(SectionTask(section.name, (section, output, section.um_per_px), key, output))
    left_out: dict[str, CytomeshError] = {}
    with lock(out, "tissue"):
        done = map_sections(
            partial(_extract_one, settings=settings),
            tasks,
            doing="find tissue",
            workers=workers,
            scheduler=scheduler,
            states=SectionLog(out),
            left_out=left_out if skip_bad else None,
        )
        areas = [area for _, area in done]
    known = [area for area in areas if area is not None]
    median = float(np.median(known)) if known else None
    return {"files": len(areas), "area_mm2": median, **left_out_facts(left_out)}


def _extract_one(job: tuple[Path | Section, Path, float | None], settings: TissueConfig) -> float | None:
    image, out, um_per_px = job
    with open_image(image) if isinstance(image, Path) else open_unnormalised(image) as pyramid:
        region = extract_tissue(pyramid, settings)
    write_geojson(out, {TISSUE: region})
    return None if um_per_px is None else region.area * (um_per_px / 1000) ** 2
