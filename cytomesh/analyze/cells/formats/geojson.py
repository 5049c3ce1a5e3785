"""GeoJSON of segmented cells: QuPath's, StarDist's within QuPath, and any other of polygons or points."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.analyze.cells.formats.reader import CellReader
from cytomesh.analyze.cells.table import CellTable, Values, from_polygons, outline_polygons
from cytomesh.core.errors import CellError
from cytomesh.core.reading import gunzip, regular_size
from cytomesh.study.contour_formats.geojson import objects_within

MAX_BYTES = 2**32
GZIP = b"\x1f\x8b"
KINDS = ("Polygon", "MultiPolygon", "Point")
NO_CELLS = ("annotation", "tmaCore", "root", "tile", "PathAnnotationObject", "PathRootObject", "PathTileObject")
"""Types of objects that are no cells, and what the identifiers of such objects were before QuPath 0.3."""


class GeoJsonReader(CellReader):
    """QuPath's "Export objects as GeoJSON": a FeatureCollection or a list of features.

    Objects that QuPath calls annotations or tiles are no cells, those within them (`childObjects`) are. Size and shape
    are those of the outer ring of `geometry` (of a detected cell the whole cell, not its nucleus; of several parts the
    largest). QuPath counts pixels from the corner of the first one.
    """

    suffixes = (".geojson", ".json", ".geojson.gz", ".json.gz")

    def read(self, path: Path) -> CellTable:
        """Return the cells."""
        regular_size(path, MAX_BYTES)
        data = path.read_bytes()
        document = json.loads(gunzip(data, MAX_BYTES) if data.startswith(GZIP) else data)
        features = document.get("features", [document]) if isinstance(document, dict) else document
        if not isinstance(features, list) or not all(isinstance(f, dict) and "geometry" in f for f in features):
            hint = "in QuPath: File > Export objects as GeoJSON"
            raise CellError(path, found="no list of features", expected="a GeoJSON FeatureCollection", hint=hint)
        return from_polygons(_polygons(path, list(_cells(features))), is_corner=True)


def _cells(features: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for feature in features:
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        kind = properties.get("objectType", properties.get("object_type", feature.get("id")))
        if kind not in NO_CELLS:
            yield feature.get("geometry")
        yield from _cells(objects_within(feature))


def _polygons(path: Path, geometries: list[Any]) -> NDArray[Any]:
    """Return the outer ring of each as a polygon; points stay points."""
    shapes = [_shape(path, number, geometry) for number, geometry in enumerate(geometries, start=1)]
    rings = {i: shape for i, shape in enumerate(shapes) if shape.ndim > 1}
    polygons = np.empty(len(shapes), object)
    polygons[list(rings)] = outline_polygons(path, list(rings.values()), [i + 1 for i in rings])
    points = [i for i in range(len(shapes)) if i not in rings]
    polygons[points] = [shapely.Point(shapes[i]) for i in points]
    return polygons


def _shape(path: Path, number: int, geometry: Any) -> Values:
    """Return the outer ring of a polygon, (k, 2), or a point, (2,)."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in KINDS:
        found = f"a {kind or 'cell without geometry'}"
        raise CellError(path, f"cell {number}", found=found, expected="a polygon")
    try:
        given = geometry["coordinates"]
        if kind == "Point":
            return np.array([float(given[0]), float(given[1])])
        rings = [np.asarray(part[0], np.float64)[:, :2] for part in ([given] if kind == "Polygon" else given)]
        return max(rings, key=lambda ring: shapely.Polygon(ring).area) if len(rings) > 1 else rings[0]
    except (IndexError, KeyError, TypeError, ValueError, OverflowError) as cause:
        found = f"a {kind} whose coordinates are none"
        raise CellError(path, f"cell {number}", found=found, expected="rings of [x, y]", hint="export again") from cause
