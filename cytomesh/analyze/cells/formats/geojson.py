"""GeoJSON of segmented cells: QuPath's, StarDist's within QuPath, and any other of polygons or points."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.analyze.cells.formats.reader import CellReader
from cytomesh.analyze.cells.table import CellTable, from_polygons
from cytomesh.core.errors import CellError
from cytomesh.core.reading import gunzip, regular_size

MAX_BYTES = 2**32
GZIP = b"\x1f\x8b"
NO_CELLS = ("annotation", "tmaCore")


class GeoJsonReader(CellReader):
    """QuPath's "Export objects as GeoJSON": a FeatureCollection or a list of features.

    Objects that QuPath calls annotations are no cells, those within them (`childObjects`) are. Size and shape are
    those of the outer ring of `geometry` (of a detected cell the whole cell, not its nucleus; of several parts the
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


def _cells(features: list[Any]) -> Iterator[Mapping[str, Any]]:
    for feature in features:
        properties = feature.get("properties") or {}
        kind = properties.get("objectType", properties.get("object_type", ""))
        if kind not in NO_CELLS:
            yield feature["geometry"]
        yield from _cells(feature.get("childObjects") or [])


def _polygons(path: Path, geometries: list[Mapping[str, Any]]) -> NDArray[Any]:
    """Return the outer ring of each as a polygon; points stay points."""
    polygons = np.empty(len(geometries), object)
    rings, owners = [], []
    for i, geometry in enumerate(geometries):
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if kind == "Polygon":
            ring = np.asarray(geometry["coordinates"][0], np.float64)[:, :2]
        elif kind == "MultiPolygon":
            parts = shapely.polygons([np.asarray(part[0], np.float64)[:, :2] for part in geometry["coordinates"]])
            ring = shapely.get_coordinates(parts[shapely.area(parts).argmax()])
        elif kind == "Point":
            polygons[i] = shapely.Point(geometry["coordinates"][:2])
            continue
        else:
            raise CellError(path, f"cell {i + 1}", found=f"a {kind or 'cell without geometry'}", expected="a polygon")
        rings.append(ring)
        owners.append(i)
    if rings:
        index = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
        polygons[owners] = shapely.polygons(shapely.linearrings(np.concatenate(rings), indices=index))
    return polygons
