"""JSON contour files: parsed within bounds of size and depth, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import (
    MAX_DEPTH,
    MAX_POINTS,
    ContourFeature,
    read_bytes,
    too_deep,
    too_many_points,
)
from cytomesh.study.contour_formats.geojson import geojson_features
from cytomesh.study.contour_formats.microdraw import is_microdraw, microdraw_features
from cytomesh.study.contour_formats.reader import ContourReader, Drawing

CHUNK = 1 << 22


class JsonReader(ContourReader):
    """QuPath's GeoJSON, and MicroDraw's regions, which only their content tells apart."""

    suffixes = (".geojson", ".json", ".geojson.gz", ".json.gz")

    def read(self, drawing: Drawing) -> list[ContourFeature]:
        """Return the annotations."""
        path, settings = drawing.path, drawing.section.contour_settings
        document = load_json(path)
        if is_microdraw(document):
            return microdraw_features(path, document, settings.microdraw_px_per_unit, drawing.image_shape)
        return geojson_features(path, document)


def load_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises
    ------
    ContourError
        If the file is missing, is not JSON, or exceeds a limit on bytes, points or nesting.
    """
    data = read_bytes(path)
    _refuse_bombs(path, data)
    try:
        return json.loads(data)
    except RecursionError as cause:
        raise too_deep(path) from cause
    except ValueError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})", expected="QuPath GeoJSON") from cause


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
