"""Charts of `cytomesh inspect`: maps of nodes by their features, and areas beside areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.inspect.latent_map import METHODS
from cytomesh.core.tables import Table, read_table
from cytomesh.page.charts import axis, chart, colour_bar, colour_scale, label, numbers
from cytomesh.page.colours import CIVIDIS, LINES, VIRIDIS, line_colour
from cytomesh.page.html import Html, choice

SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "x")
PARTS = {"mean": "all pairs", "within_brains": "pairs within a brain", "between_brains": "pairs of two brains"}
NONE = "none"
NONE_COLOUR = "#b9bec4"
MOST_DRAWN = 10_000
"""Dots that a browser draws one by one; more need WebGL, which not every one has."""


def map_charts(folder: Path, record: Mapping[str, Any], n_nodes: int, n_shown: int | None = None) -> Html:
    """Return the map in each of its colourings, or in the first few."""
    table = read_table(folder / "map.parquet", needs=("x", "y", "graph", "node"))
    names = record["colour_by"][:n_shown]
    return choice("Coloured by", [(name, _map(table, name, record, n_nodes)) for name in names])


def _map(table: Table, name: str, record: Mapping[str, Any], n_nodes: int) -> Html:
    values = np.asarray(table[name])
    is_words = values.dtype.kind in "OU"
    traces = _by_name(table, values, record["colours"]) if is_words else [_by_number(table, name, values)]
    method = METHODS[record["method"]]
    scale = {} if record["method"] == "pca" else {"showticklabels": False}
    axes = [axis(f"{method} {i}", zeroline=False, **scale) for i in (1, 2)]
    axes[1]["scaleanchor"] = "x"
    drawn = "all" if len(values) == n_nodes else f"{len(values):,} drawn at random of"
    caption = f"One dot per node ({drawn} {n_nodes:,} linked nodes), coloured by {name}. "
    if record["method"] == "pca":
        caption += "The two directions in which unit vectors of the features vary most."
    else:
        caption += "Neighbours stay neighbours; sizes of clusters and distances between them mean nothing."
    few = len(traces) <= len(SYMBOLS)
    if is_words and not few:
        caption += " Colours are those of the label table; point at a dot for its name."
    return chart(traces, *axes, caption=caption, height_px=520, width_px=760, showlegend=few and is_words)


def _by_name(table: Table, values: NDArray[Any], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return one series per name: few with colours and symbols that are told apart, many as in the label table."""
    names = sorted(set(values), key=lambda name: (name != NONE, name))
    n_named = len([name for name in names if name != NONE])
    traces: list[dict[str, Any]] = []
    for name in names:
        order = len(traces) - (NONE in names)
        marker = {"size": 5, "opacity": 0.75, "color": colours.get(name, line_colour(max(order, 0)))}
        if n_named <= len(LINES):
            marker |= {"color": line_colour(max(order, 0)), "symbol": SYMBOLS[order % len(SYMBOLS)]}
        if name == NONE:
            marker |= {"color": NONE_COLOUR, "size": 3, "symbol": "circle"}
        traces.append(_dots(table, values == name, label(name), marker))
    return traces


def _by_number(table: Table, name: str, values: NDArray[Any]) -> dict[str, Any]:
    known = np.isfinite(values)
    unit = table.units.get(name, "")
    title = f"{name} ({unit})" if unit else name
    low, high = np.percentile(values[known], [2, 98]) if known.any() else (0.0, 1.0)
    marker = {
        "size": 5,
        "color": numbers(values[known], 4),
        "cmin": float(low),
        "cmax": float(high),
        "colorscale": colour_scale(VIRIDIS),
        "colorbar": colour_bar(title),
    }
    hover = "%{marker.color:.4g}<br>%{text}<extra></extra>"
    return _dots(table, known, label(name), marker) | {"hovertemplate": hover}


def _dots(table: Table, rows: NDArray[np.bool_], name: str, marker: dict[str, Any]) -> dict[str, Any]:
    text = [f"{graph}: {node}" for graph, node in zip(table["graph"][rows], table["node"][rows], strict=True)]
    return {
        "type": "scatter" if len(table) <= MOST_DRAWN else "scattergl",
        "mode": "markers",
        "name": name,
        "x": numbers(table["x"][rows], 4),
        "y": numbers(table["y"][rows], 4),
        "text": text,
        "marker": marker,
        "hovertemplate": f"{name}<br>%{{text}}<extra></extra>",
    }


def similarity_charts(folder: Path, record: Mapping[str, Any], parts: Sequence[str] = tuple(PARTS)) -> Html:
    """Return the matrices of areas as heat maps of one colour scale."""
    table = read_table(folder / "similarity.parquet", needs=("area_a", "area_b", *PARTS))
    areas = record["areas"]
    matrices = {part: np.asarray(table[part]).reshape(len(areas), len(areas)) for part in PARTS}
    every = np.concatenate([values.ravel() for values in matrices.values()])
    limits = np.percentile(every[np.isfinite(every)], [1, 99])
    panels = [
        (PARTS[part], _matrix(matrices[part], areas, PARTS[part], limits))
        for part in parts
        if np.isfinite(matrices[part]).any()
    ]
    return choice("Of", panels)


def _matrix(
    values: NDArray[np.float64], areas: Sequence[Mapping[str, Any]], pairs: str, limits: NDArray[np.float64]
) -> Html:
    names = [label(area["name"]) for area in areas]
    trace = {
        "type": "heatmap",
        "z": [numbers(row, 3) for row in values],
        "x": names,
        "y": names,
        "zmin": float(limits[0]),
        "zmax": float(limits[1]),
        "colorscale": colour_scale(CIVIDIS),
        "colorbar": colour_bar("mean cosine similarity"),
        "hovertemplate": "%{y}<br>%{x}<br>%{z:.3f}<extra></extra>",
    }
    # area names such as 3b or 44 are categories, not numbers
    every = {"type": "category", "tickmode": "array", "tickvals": names, "ticktext": names, "tickfont": {"size": 9}}
    x = axis("area", tickangle=-60, constrain="domain", **every)
    y = axis("area", autorange="reversed", scaleanchor="x", constrain="domain", **every)
    groups = [(area["hemisphere"], area["lobe"]) for area in areas]
    cuts = [i - 0.5 for i in range(1, len(groups)) if groups[i] != groups[i - 1]]
    lines = [line for cut in cuts for line in _cross(cut, len(areas))]
    side_px = min(900, 280 + 15 * len(names))
    order = "hemisphere, lobe and label" if any(area["lobe"] for area in areas) else "hemisphere and label"
    caption = (
        f"Mean cosine similarity of the features of two areas, over {pairs}; a node and itself are no pair. Ordered by "
        f"{order}{', lines between groups' if cuts else ''}."
    )
    margin = {"l": 90, "r": 20, "t": 12, "b": 90}
    return chart([trace], x, y, caption=caption, height_px=side_px, width_px=side_px + 110, margin=margin, shapes=lines)


def _cross(cut: float, n: int) -> list[dict[str, Any]]:
    line = {"type": "line", "line": {"color": "#ffffff", "width": 2}}
    along = {"x0": -0.5, "x1": n - 0.5, "y0": cut, "y1": cut}
    return [line | along, line | {"x0": cut, "x1": cut, "y0": -0.5, "y1": n - 0.5}]
