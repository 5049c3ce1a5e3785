"""Whether annotations lie in the cortex that is drawn, or would if all of them were turned or mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, ImageError, StudyError
from cytomesh.study.annotation import Annotation
from cytomesh.study.contours import SectionContours
from cytomesh.study.sections import Section

# Annotations may hold the other hemisphere, too, without contours: about half of the labelled pixels.
MAX_OUTSIDE = 0.6
SAMPLED_PIXELS = 20000
ORIENTATIONS = {
    "as they are": (1, 1),
    "mirrored (columns)": (-1, 1),
    "upside down (rows)": (1, -1),
    "turned by 180 degrees": (-1, -1),
}
# Of all labelled pixels, so much more in the cortex: of a section, whose outline may be nearly symmetric; of all.
SECTION_GAIN, GAIN = 0.3, 0.15


def look_at_annotation(
    section: Section, annotation: Annotation, contours: SectionContours
) -> tuple[list[CytomeshError], NDArray[np.float64] | None]:
    """Compare an annotation with the contours of its section: areas of the cortex lie in the cortex.

    Returns
    -------
    problems : list of CytomeshError
        Whether most of it lies outside the pial boundaries.
    shares : (4,) float64 or None
        Of the labelled pixels between pial and white boundary, for `ORIENTATIONS` of the annotation; None where there
        is nothing to compare.
    """
    points = annotation.labelled(SAMPLED_PIXELS)
    if not len(points):
        return [], None
    return _outside(section, points, contours), _ribbon_shares(annotation.extent, points, contours)


def _outside(section: Section, points: NDArray[np.float64], contours: SectionContours) -> list[CytomeshError]:
    pial = shapely.union_all([rings.pial for rings in contours.values()])
    if pial.is_empty:
        return []
    outside = 1 - float(shapely.contains_xy(pial, *points.T).mean())
    if outside <= MAX_OUTSIDE:
        return []
    found = f"{outside:.0%} of the labelled pixels outside every pial contour"
    hint = "is the annotation upside down or mirrored, of another section, or of another pixel size?"
    return [ImageError(section.annotation or "", section.name, found=found, expected="areas inside", hint=hint)]


def _ribbon_shares(
    size: NDArray[np.float64] | None, points: NDArray[np.float64], contours: SectionContours
) -> NDArray[np.float64] | None:
    cortex = shapely.union_all([rings.pial.difference(rings.white) for rings in contours.values()])
    if cortex.is_empty or size is None:
        return None
    shapely.prepare(cortex)
    turned = [np.where(np.array(signs) < 0, size - 1 - points, points) for signs in ORIENTATIONS.values()]
    return np.array([float(shapely.contains_xy(cortex, *there.T).mean()) for there in turned])


def check_orientation(
    table: Path, sections: Sequence[Section], shares: Sequence[NDArray[np.float64] | None]
) -> list[CytomeshError]:
    """Find annotations that fit the cortex better turned or mirrored: all of a brain at once, or single ones.

    Parameters
    ----------
    table : Path
        The section table.
    shares : sequence of (4,) float64 or None
        See `look_at_annotation`; one per section.
    """
    measured = [(section, share) for section, share in zip(sections, shares, strict=True) if share is not None]
    if not measured:
        return []
    names = list(ORIENTATIONS)
    mean = np.mean([share for _, share in measured], axis=0)
    best = int(mean.argmax())
    if len(measured) > 1 and mean[best] > mean[0] + GAIN:
        found = (
            f"{_fit(mean[0])}, but {mean[best]:.0%} if they were {names[best]}, on average over {len(measured)} of them"
        )
        hint = "export the annotations the way their images are stored"
        return [StudyError(table, "annotation", found=found, expected="areas in the cortex", hint=hint)]
    return [
        ImageError(
            section.annotation or "",
            section.name,
            found=f"{_fit(share[0])}, but {share.max():.0%} if it were {names[int(share.argmax())]}",
            expected="areas in the cortex",
            hint="export the annotation the way its image is stored",
        )
        for section, share in measured
        if share.max() > share[0] + SECTION_GAIN
    ]


def _fit(share: float) -> str:
    return f"{share:.0%} of the labelled pixels between pial and white boundary"
