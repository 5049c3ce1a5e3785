"""Training curves of encoders: loss, feature spread, learning rate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.config import read_yaml
from cytomesh.core.errors import ConfigError
from cytomesh.page.charts import axis, chart, curve, label
from cytomesh.page.colours import line_colour
from cytomesh.page.html import Column, Html, Number, Part, Row, join, missing, table, tag

# what is drawn, in this order, if an encoder recorded it: key -> (title, unit)
QUANTITIES = {
    "loss": ("training loss", "nats"),
    "spread": ("feature spread (1: everywhere, 0: collapsed)", ""),
    "effective_rank": ("effective rank of the features", "dimensions"),
    "held_out/linear": ("areas of held-out nodes by a linear probe (macro-F1)", ""),
    "held_out/knn": ("areas of held-out nodes by nearest neighbours (macro-F1)", ""),
    "learning_rate": ("learning rate", ""),
    "gradient_norm": ("gradient norm", ""),
    "images_per_second": ("speed", "patches/s"),
    "data_wait_s": ("waiting for data per step", "s"),
    "compute_s": ("computing time per step", "s"),
}
MAX_POINTS = 1500


def training_part(run: Path) -> Part:
    """Build the part with one chart per quantity and one line per encoder."""
    records = {path.parent.name: read_lines(path) for path in sorted((run / "encoders").glob("[!.]*/metrics.jsonl"))}
    records = {name: rows for name, rows in records.items() if rows}
    if not records:
        return missing(
            "pretraining", "Pretraining", "No encoder has been trained in this run: 'cytomesh pretrain' has not run."
        )
    charts = [chart_ for key in QUANTITIES if (chart_ := _chart(key, records)) is not None]
    body = [_summary(run, records), tag("div", *charts, class_="charts")]
    return Part("pretraining", "Pretraining", join(body))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file; a last line that a killed run left unfinished is ignored."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _chart(key: str, records: Mapping[str, Sequence[Mapping[str, Any]]]) -> Html | None:
    title, unit = QUANTITIES[key]
    traces: list[dict[str, Any]] = []
    n_smooth = 0
    for order, (name, rows) in enumerate(records.items()):
        points = np.array(
            [(row.get("step", i), row[key]) for i, row in enumerate(rows) if isinstance(row.get(key), int | float)],
            float,
        )
        if len(points) == 0:
            continue
        points = points[:: max(1, len(points) // MAX_POINTS)]
        x, y = points.T
        if key in ("loss", "gradient_norm", "images_per_second") and len(y) >= 40:
            n_smooth = max(n_smooth, len(y) // 20)
            faint = {"color": line_colour(order), "width": 1}
            traces.append(curve(name, x, y, order, opacity=0.3, showlegend=False, hoverinfo="skip") | {"line": faint})
            y = running_median(y, len(y) // 20)
        traces.append(
            curve(name, x, y, order, hovertemplate=f"{label(name)}<br>step %{{x}}: %{{y:.4g}} {unit}<extra></extra>")
        )
    if not traces:
        return None
    smooth = " Strong line: running median; faint line: every step." if n_smooth else ""
    caption = f"{title[0].upper()}{title[1:]}, one line per encoder.{smooth}"
    return chart(traces, axis("optimiser step"), axis(title, unit), caption=caption)


def running_median(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the median over a centred window, shorter at both ends."""
    half = max(1, width // 2)
    return np.array([np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])


def _summary(run: Path, records: Mapping[str, Sequence[Mapping[str, Any]]]) -> Html:
    rows: list[Row] = []
    for name, lines in records.items():
        settings = _settings(run / "encoders" / name / "config.yaml")
        encoder, objectives = settings.get("encoder", {}), settings.get("objectives", {})
        patches = settings.get("patches", {})
        losses = [float(line["loss"]) for line in lines if isinstance(line.get("loss"), int | float)]
        tail = max(1, len(losses) // 10)
        rows.append(
            [
                name,
                str(encoder.get("name", "not recorded")),
                ", ".join(name for name, chosen in objectives.items() if chosen) or "not recorded",
                f"{patches['size_px']} px at {patches['um_per_px']:g} µm/px"
                if {"size_px", "um_per_px"} <= patches.keys()
                else "not recorded",
                max(int(line.get("step", i)) for i, line in enumerate(lines)),
                np.median(losses[:tail]) if losses else None,
                np.median(losses[-tail:]) if losses else None,
            ]
        )
    columns: list[Column] = ["encoder", "model", "objectives", "patch", Number("last step", form=",")]
    columns += [Number("loss, first tenth", "nats"), Number("loss, last tenth", "nats")]
    return table(columns, rows, caption="Encoders trained in this run; losses are medians.")


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    groups = read_yaml(path, ConfigError)
    return {key: value for key, value in groups.items() if isinstance(value, dict)}
