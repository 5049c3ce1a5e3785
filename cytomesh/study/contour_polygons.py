"""Drawn objects as polygons: what is wrong with their rings, and what can be mended."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from cytomesh.core.errors import ContourError, CytomeshError
from cytomesh.study.contour_formats.features import ContourFeature
from cytomesh.study.contour_repair import Mender
from cytomesh.study.contour_rings import ring_fault
from cytomesh.study.problems import attempt

RING = "a closed ring (Polygon or MultiPolygon)"


def polygons_of(
    feature: ContourFeature,
    mender: Mender,
    problems: list[CytomeshError],
    repair: bool,
    expected: str = RING,
    hint: str = "draw it as a closed ring, or delete it",
) -> list[Polygon]:
    """Return the valid polygons of an object, counted from the corner as in its file; complain to `problems`.

    Parameters
    ----------
    mender : Mender
        Of the object's file.
    repair : bool
        Whether open rings are closed, and those that cross themselves mended.
    expected, hint : str
        What is said of an object that is no ring.
    """
    path, place = mender.path, feature.place
    if feature.fault:
        problems.append(ContourError(path, place, found=feature.fault, expected=expected, hint=hint))
        return []
    polygons: list[Polygon] = []
    for rings in feature.polygons:
        fault = next((fault for ring in rings for fault in [ring_fault(ring, repair)] if fault), None)
        if fault:
            way_out = "close it, or set contours.repair: true" if fault.startswith("an open") else "draw it again"
            closed = "closed rings of 3 or more points, finite pixels"
            problems.append(ContourError(path, place, found=fault, expected=closed, hint=way_out))
            continue
        part = Polygon(rings[0], rings[1:])
        if part.is_valid:
            polygons.append(part)
        elif repair:
            mended = attempt(problems, lambda part=part: mender.mend(part, place))  # type: ignore[misc]
            polygons.extend([] if mended is None else multi_polygon(mended).geoms)
        else:
            problems.append(_invalid(path, place, part))
    return polygons


def several_planes(path: Path, features: list[ContourFeature]) -> list[CytomeshError]:
    """Complain about objects on several planes of a stack: of a section, only those of one belong together."""
    counts = Counter(feature.plane for feature in features if feature.plane)
    if len(counts) < 2:
        return []
    planes = "; ".join(f"{plane} ({count})" for plane, count in sorted(counts.items())[:10])
    return [
        ContourError(
            path,
            found=f"objects on {len(counts)} planes of a stack: {planes}",
            expected="the objects of one plane",
            hint="export those of the plane that is the section's image (in ImageJ: ROI Manager > More > Remove "
            "Positions if all belong to it)",
        )
    ]


def multi_polygon(geometry: BaseGeometry) -> MultiPolygon:
    """Return the polygons of any geometry; points and lines (left over by overlays) are dropped."""
    parts = getattr(geometry, "geoms", [geometry])
    polygons: list[Polygon] = []
    for part in parts:
        if isinstance(part, Polygon):
            if not part.is_empty:
                polygons.append(part)
        elif hasattr(part, "geoms"):
            polygons.extend(multi_polygon(part).geoms)
    return MultiPolygon(polygons)


def _invalid(path: Path, place: str, polygon: Polygon) -> ContourError:
    reason = explain_validity(polygon)
    match = re.fullmatch(r"(.*)\[(\S+) (\S+)\]", reason)
    words = {"Self-intersection": "ring crosses itself", "Ring Self-intersection": "ring touches itself"}
    text = (
        reason
        if match is None
        else f"{words.get(match[1], match[1])} at ({float(match[2]):.1f}, {float(match[3]):.1f}) px"
    )
    hint = "fix it in QuPath (Objects > Annotations > Fix geometry), or set contours.repair: true"
    return ContourError(path, place, found=text, expected="simple closed rings", hint=hint)
