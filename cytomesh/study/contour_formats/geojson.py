"""QuPath GeoJSON: the main form of contour files, read within bounds of size and depth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, mapping

from cytomesh.core.errors import ContourError
from cytomesh.core.files import write_text
from cytomesh.study.contour_formats.features import (
    CORNER,
    MAX_DEPTH,
    MAX_FEATURES,
    MAX_POINTS,
    ContourFeature,
    Ring,
    read_bytes,
    too_deep,
    too_many_features,
    too_many_points,
)

CHUNK = 1 << 22


def read_geojson(path: Path) -> list[ContourFeature]:
    """Read the features of a QuPath GeoJSON export (FeatureCollection, or a bare list of features).

    Raises
    ------
    ContourError
        If the file is missing, is not GeoJSON, or exceeds a limit on points, features or nesting.
    """
    data = read_bytes(path)
    _refuse_bombs(path, data)
    try:
        document = json.loads(data)
    except RecursionError as cause:
        raise too_deep(path) from cause
    except ValueError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})", expected="QuPath GeoJSON") from cause
    features = document.get("features") if isinstance(document, dict) else document
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise ContourError(
            path,
            found="no list of features",
            expected="a GeoJSON FeatureCollection",
            hint="in QuPath: File > Export objects as GeoJSON",
        )
    if len(features) > MAX_FEATURES:
        raise too_many_features(path, len(features))
    return [_feature(number, feature) for number, feature in enumerate(features)]


def write_geojson(path: Path, named: Mapping[str, MultiPolygon]) -> None:
    """Write polygons (pixels, centres at integers) as QuPath annotations of these classes, whole or not at all."""
    features = [
        {
            "type": "Feature",
            "geometry": mapping(translate(polygon, CORNER, CORNER)),
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, polygons in named.items()
        for polygon in polygons.geoms
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}))


def _refuse_bombs(path: Path, data: bytes) -> None:
    """Raise for what would cost too much to parse; counting bytes costs next to nothing.

    Every point is an array of its own, and takes two to four commas with those around it.
    """
    points = max(data.count(b"["), data.count(b",") // 4)
    if points > MAX_POINTS:
        raise too_many_points(path, points)
    depth = 0
    for start in range(0, len(data), CHUNK):
        block = np.frombuffer(data[start : start + CHUNK], np.uint8)
        # "[" and "{" open, "]" and "}" close: ASCII 91, 123, 93, 125
        steps = np.isin(block, (91, 123)).astype(np.int8) - np.isin(block, (93, 125)).astype(np.int8)
        levels = depth + np.cumsum(steps, dtype=np.int32)
        if len(levels) and levels.max() > MAX_DEPTH:
            raise too_deep(path)
        depth = int(levels[-1])


def _feature(number: int, feature: dict[str, Any]) -> ContourFeature:
    properties = feature.get("properties")
    classification = properties.get("classification") if isinstance(properties, dict) else None
    written = str(classification.get("name", "")) if isinstance(classification, dict) else ""
    place = f"feature {number} ('{written}')" if written else f"feature {number}"
    names = (written,) if written else ()
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind not in ("Polygon", "MultiPolygon"):
        return ContourFeature(place, names, fault=f"a {kind or 'feature without geometry'}")
    try:
        coordinates = geometry["coordinates"]
        polygons = [coordinates] if kind == "Polygon" else coordinates
        return ContourFeature(place, names, tuple(tuple(map(_ring, polygon)) for polygon in polygons))
    except (ValueError, TypeError, KeyError, IndexError) as cause:
        return ContourFeature(place, names, fault=f"a ring that cannot be read ({cause})")


def _ring(points: list[list[float]]) -> Ring:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2:
        raise ValueError(f"an array of shape {ring.shape} instead of (points, 2)")
    return ring[:, :2]
