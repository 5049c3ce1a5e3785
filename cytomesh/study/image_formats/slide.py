"""Whole slides by OpenSlide: Aperio, Hamamatsu, MIRAX, Leica, Ventana."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.extras import optional
from cytomesh.study.image_formats.reader import (
    HINT_AGAIN,
    ImageHeader,
    ImageReader,
    on_background,
    pyramid_level,
    refuse_size,
)
from cytomesh.study.units import square_um

EXTRA = "cytomesh[openslide]"


class SlideReader(ImageReader):
    """Slides as OpenSlide shows them, 8-bit RGB; where nothing was scanned, the colour that the slide states, or white.

    If a slide states what part of it was scanned (`openslide.bounds-x` and so on), the image is this part, as in
    QuPath: pixel (0, 0) is its corner.
    """

    suffixes = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif")

    @classmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read the properties."""
        openslide = optional("openslide", EXTRA)
        if openslide.OpenSlide.detect_format(path) is None:
            hint = f"{HINT_AGAIN}; name a plain TIFF .tif"
            raise ImageError(path, found="no slide that OpenSlide knows, or a part of one", hint=hint)
        with openslide.OpenSlide(path) as slide:
            _, _, width, height = _bounds(slide)
            refuse_size(path, (height, width), 1, HINT_AGAIN)
            shapes = [(rows, columns) for columns, rows in slide.level_dimensions]
            if shapes[0] != (height, width):
                shapes = [(int(height / factor), int(width / factor)) for factor in slide.level_downsamples]
            shapes = [shape for shape in shapes if min(shape) > 0]
            levels = [pyramid_level(str(i), shape, shapes[0]) for i, shape in enumerate(shapes)]
            facts = slide.properties
            stated = [facts.get(name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
        um_per_px = square_um(path, float(stated[0]), float(stated[1])) if stated[0] and stated[1] else None
        return ImageHeader(path, 3, tuple(levels), um_per_px, "yxc", alpha="straight")

    def __init__(self, header: ImageHeader) -> None:
        super().__init__(header)
        openslide = optional("openslide", EXTRA)
        self._slide = openslide.OpenSlide(header.path)
        self._left, self._top, *_ = _bounds(self._slide)
        colour = self._slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
        self._background = np.array(list(bytes.fromhex(colour)))

    def decode(self, level: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a region, whose place OpenSlide counts in pixels of level 0, whole ones, and its size in the level's."""
        shape = self.header.levels[level].shape
        (top, bottom, _), (left, right, _) = (part.indices(n) for part, n in zip((rows, columns), shape, strict=True))
        factor = self._slide.level_downsamples[level]
        corner = self._left + round(left * factor), self._top + round(top * factor)
        region = self._slide.read_region(corner, level, (right - left, bottom - top))
        return on_background(np.asarray(region), "straight", self._background)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()


def _bounds(slide: Any) -> tuple[int, int, int, int]:
    """Return left, top, width and height of what was scanned, pixels of level 0."""
    names = ("x", "y", "width", "height")
    found = [slide.properties.get(f"openslide.bounds-{name}") for name in names]
    left, top, width, height = (0, 0, *slide.dimensions) if None in found else (int(value) for value in found)
    return left, top, width, height
