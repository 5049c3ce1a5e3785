"""MicroDraw: regions drawn on section images in the browser, saved as JSON with the paths of paper.js.

Taken from MicroDraw's own readers and writers: a region is ``{"annotation": {"name": ...}, "path": [kind, {...}]}``,
the path beside or within the annotation; regions stand in ``annotation.Regions`` of a saved slice, in ``Regions``, or
in the list that its interface answers with. A path has ``segments``, each a point or ``[point, handle in, handle out]``
with handles relative to the point; a CompoundPath has ``children``. 1,000 units are the width of the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import (
    MAX_FEATURES,
    MAX_POINTS,
    ContourFeature,
    Ring,
    close,
    too_many_features,
    without_number,
)
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contour_formats.svg_path import flatten_curves

UNITS_A_WIDTH = 1000.0


def is_microdraw(document: Any) -> bool:
    """Whether a parsed JSON file is one of MicroDraw's."""
    return _regions(document) is not None


def microdraw_features(
    path: Path, document: Any, px_per_unit: float | None, image_shape: tuple[int, int] | None
) -> list[ContourFeature]:
    """Return the regions of a MicroDraw file; holes of compound paths by the even-odd rule, the name is the class.

    Parameters
    ----------
    document : object
        The parsed file (see `load_json`).
    px_per_unit : float or None
        Image pixels per unit; None: 1 / 1,000 of the image's width.
    image_shape : (int, int) or None
        Rows and columns of the section's image.

    Raises
    ------
    ContourError
        If the unit is unknown, for want of an image, or a limit is exceeded.
    """
    regions = _regions(document) or []
    if len(regions) > MAX_FEATURES:
        raise too_many_features(path, len(regions))
    if px_per_unit is None and image_shape is None:
        raise ContourError(
            path,
            found="MicroDraw regions, in thousandths of the width of an image that is not there",
            expected="the section's image, or contours.microdraw_px_per_unit in the manifest",
            hint="declare the image, or the image's width in pixels / 1000 (1 where a program wrote pixels)",
        )
    scale = px_per_unit if px_per_unit is not None else (image_shape or (0, 0))[1] / UNITS_A_WIDTH
    features: list[ContourFeature] = []
    left = MAX_POINTS
    for number, region in enumerate(regions):
        feature = _feature(path, number, region, scale, left)
        left -= sum(len(ring) for rings in feature.polygons for ring in rings)
        features.append(feature)
    return features


def _regions(document: Any) -> list[Any] | None:
    if isinstance(document, list):
        is_answer = bool(document) and all(isinstance(item, dict) and _path(item) is not None for item in document)
        return document if is_answer else None
    for holder in (document, document.get("annotation") if isinstance(document, dict) else None):
        if isinstance(holder, dict) and isinstance(holder.get("Regions"), list):
            return list(holder["Regions"])
    return None


def _path(region: dict[str, Any]) -> Any:
    annotation = region.get("annotation")
    return region.get("path", annotation.get("path")) if isinstance(annotation, dict) else None


def _feature(path: Path, number: int, region: Any, scale: float, max_points: int) -> ContourFeature:
    annotation = region.get("annotation") if isinstance(region, dict) else None
    written = annotation.get("name") if isinstance(annotation, dict) else None
    names = without_number(str(written)) if written else ()
    place = f"region {number} ('{names[0]}')" if names else f"region {number}"
    try:
        rings = _rings(_path(region), np.diag([scale, scale, 1.0]), max_points)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as cause:
        return ContourFeature(place, names, fault=f"a path that cannot be read ({cause})")
    if not rings:
        return ContourFeature(place, names, fault="a path without points")
    return ContourFeature(place, names, even_odd(rings, path))


def _rings(item: Any, matrix: NDArray[np.float64], max_points: int) -> list[Ring]:
    """Return the rings of a paper.js item [kind, attributes]; one that is not closed stays open."""
    kind, attributes = item
    if "matrix" in attributes:
        a, b, c, d, x, y = map(float, attributes["matrix"])
        matrix = matrix @ np.array([[a, c, x], [b, d, y], [0, 0, 1]])
    if kind == "CompoundPath":
        rings: list[Ring] = []
        for child in attributes.get("children", []):
            rings += _rings(child, matrix, max_points - sum(map(len, rings)))
        return rings
    if kind != "Path":
        raise ValueError(f"a {kind}")
    segments = attributes.get("segments", [])
    if not segments:
        return []
    curves = np.array([_segment(segment) for segment in segments], np.float64)
    corners, into, out = curves[:, 0], curves[:, :2].sum(axis=1), curves[:, ::2].sum(axis=1)
    control = np.stack([corners, out, np.roll(into, -1, axis=0), np.roll(corners, -1, axis=0)], axis=1)
    control = control @ matrix[:2, :2].T + matrix[:2, 2]
    points, _ = flatten_curves(control if attributes.get("closed") else control[:-1], max_points)
    ring = np.concatenate([control[:1, 0], points])
    return [close(ring) if attributes.get("closed") else ring]


def _segment(segment: Any) -> tuple[Any, Any, Any]:
    """Return (point, handle in, handle out), each (x, y)."""
    if isinstance(segment[0], list):
        point, *handles = segment
        into, out = (*handles, [0, 0], [0, 0])[:2]
        return point[:2], into[:2], out[:2]
    return segment[:2], (0, 0), (0, 0)
