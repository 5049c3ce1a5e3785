"""Files of cells as segmenters write them, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_csv(path: Path, header: str, rows: np.ndarray, delimiter: str = ",") -> Path:
    lines = [header, *(delimiter.join(f"{value:.6g}" for value in row) for row in np.atleast_2d(rows))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_parquet(path: Path, um_per_px: float | None = None, **columns) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: pa.array(np.asarray(values)) for name, values in columns.items()})
    facts = {} if um_per_px is None else {"um_per_px": str(um_per_px)}
    pq.write_table(table.replace_schema_metadata(facts), path)
    return path


def disc(column: float, row: float, radius: float, n: int = 200) -> np.ndarray:
    """Points on a circle whose polygon has the area of the disc, nearly."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.column_stack([column + radius * np.cos(angle), row + radius * np.sin(angle)])


def feature(ring: np.ndarray, kind: str = "detection", **more) -> dict:
    points = [*ring.tolist(), ring[0].tolist()]
    geometry = {"type": "Polygon", "coordinates": [points]}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": kind}, **more}


def write_geojson(path: Path, features: list[dict]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
