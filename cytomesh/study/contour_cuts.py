"""The class `cut`: lines along pial rings, or regions around stretches of them, at which the tissue was cut or torn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from cytomesh.study.contour_formats.features import ContourFeature, Ring

CUT = "cut"
LINE_MM = 0.5
"""A line marks the ring up to this far on either side: lines are drawn by hand, and cortex is thicker."""


def lines_apart(feature: ContourFeature, um_per_px: float) -> tuple[ContourFeature, list[Polygon]]:
    """Return a feature of class `cut` without its lines, and strips around these, pixels.

    Lines are LineStrings and rings that are not closed. Their ends are the ends of the cut.
    """
    lines = [rings[0] for rings in feature.polygons if len(rings) == 1 and (feature.fault or _is_open(rings[0]))]
    lines = [line for line in lines if len(line) > 1 and np.isfinite(line).all() and np.ptp(line, axis=0).any()]
    if not lines:
        return feature, []
    rest = tuple(rings for rings in feature.polygons if not any(rings[0] is line for line in lines))
    strips: list[Polygon] = []
    for line in lines:
        strip: BaseGeometry = LineString(line).buffer(1000.0 * LINE_MM / um_per_px, cap_style="flat")
        strips.extend(part for part in getattr(strip, "geoms", [strip]) if isinstance(part, Polygon))
    return replace(feature, polygons=rest, fault="" if not rest else feature.fault), strips


def _is_open(ring: Ring) -> bool:
    return not np.array_equal(ring[0], ring[-1])
