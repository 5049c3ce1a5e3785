"""Pial rings drawn along the edge of a cropped image: they look like cortex, and are a cut."""

from __future__ import annotations

import shapely
from shapely.affinity import translate

from cytomesh.core.errors import ContourError
from cytomesh.study.contours import SectionContours
from cytomesh.study.sections import Section

CUT_PX = 2.0
"""A ring this near the image's border follows it: brushes and masks end there, to a pixel or two."""
# Lines drawn by hand along a border are as near as this, pixels or a share of the image's longer side.
NEAR_PX, NEAR = 6.0, 0.005
# Of a side of the image, the share along which they run: a crown of a gyrus comes as near over a tenth.
LEAST_SHARE = 0.2
# Stretches shorter than so many times their distance only cross to the border.
LEAST_LENGTH = 3.0


def check_crop_edge(section: Section, shape: tuple[int, int], contours: SectionContours) -> list[ContourError]:
    """Find pial rings that run along the image's border, but not near enough to count as cut there.

    Parameters
    ----------
    section : Section
        For the message.
    shape : (height, width)
        Of its image.
    """
    height, width = shape
    near = max(NEAR_PX, NEAR * max(shape))
    frame = shapely.box(-0.5, -0.5, width - 0.5, height - 0.5)
    is_cut = frame.exterior.buffer(CUT_PX).union(contours.cut)
    rings = shapely.union_all([side.pial.boundary for side in contours.values()])
    for shift in ((near - width, 0), (width - near, 0), (0, near - height), (0, height - near)):
        band = frame.intersection(translate(frame, *shift))
        stretches = shapely.get_parts(shapely.line_merge(rings.intersection(band)))
        along = [part.difference(is_cut).length for part in stretches if part.length >= LEAST_LENGTH * near]
        if sum(along) >= LEAST_SHARE * (height if shift[0] else width):
            break
    else:
        return []
    return [
        ContourError(
            section.contours or "",
            section.name,
            found=f"a pial ring along the border of the image, {CUT_PX:g} to {near:.0f} pixels inside it, which counts"
            " as cortex",
            expected=f"cuts to be drawn within {CUT_PX:g} pixels of the border",
            hint="where tissue was cut, draw the ring to the border, or a line of class cut along it; the brain's own"
            " surface may stay as it is",
        )
    ]
