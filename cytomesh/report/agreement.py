"""Parcellations: agreement with the areas, beside what chance and geometry give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cytomesh.report.charts import PALETTE, axis, chart, label, numbers
from cytomesh.report.html import Cell, Column, Content, Html, Part, choice, join, missing, number_cell, table, tag
from cytomesh.report.results import Spread, read_parcellations, unreadable

TITLE = "Parcellation"
MEASURES = {"ari": "ARI", "nmi": "NMI", "ami": "AMI"}
NULLS = {"spin": "areas rotated on the sphere", "geometry": "parcels of the same number from geometry alone"}


def parcellation_part(run: Path) -> Part:
    """Build the part with every parcellation of the run and its baselines."""
    parcellations = read_parcellations(run)
    damaged = [
        tag("p", f"Not shown, since its metrics.json is damaged: {name}.", class_="missing")
        for name in unreadable(run, "parcellate", parcellations)
    ]
    if not parcellations:
        if damaged:
            return Part("parcellation", TITLE, join(damaged), is_absent=True)
        return missing("parcellation", TITLE, "No parcellation in this run: 'cytomesh parcellate' has not run.")
    panels = [(MEASURES[measure], _measure_panel(parcellations, measure)) for measure in MEASURES]
    shown = [(title, panel) for title, panel in panels if panel is not None]
    body = [choice("Score", shown)] if shown else [tag("p", "No areas to compare the parcels with.", class_="missing")]
    return Part("parcellation", TITLE, join([*damaged, *body, _shape_table(parcellations)]))


def agreement_table(parcellations: Mapping[str, Mapping[str, Any]]) -> Html:
    """Return each parcellation's ARI and NMI with the areas, each with its null."""
    rows: list[list[Cell | Content]] = []
    for name, record in parcellations.items():
        for graph, metrics in record["graphs"].items():
            cells: list[Cell | Content] = []
            for measure in ("ari", "nmi"):
                entry = metrics["areas"].get(measure, {})
                kind = null_kind(entry)
                cells += [
                    number_cell(entry.get("score")),
                    _spread(entry, kind),
                    number_cell(entry.get(f"over_{kind}"), "+.3f"),
                ]
            rows.append([name, graph, Cell(str(metrics["n_parcels"]), metrics["n_parcels"]), *cells])
    columns = [Column("parcellation", is_number=False), Column("graph", is_number=False), Column("parcels")]
    for measure in ("ari", "nmi"):
        columns += [Column(MEASURES[measure]), Column("null"), Column("over null")]
    kinds = {
        null_kind(m["areas"].get("ari", {})) for record in parcellations.values() for m in record["graphs"].values()
    }
    meaning = "; ".join(NULLS[kind] for kind in NULLS if kind in kinds)
    caption = f"Parcellation: agreement of parcels with annotated areas, 1 is perfect. Null: {meaning}, mean ± SD."
    return table(columns, rows, caption=caption, sortable=True)


def null_kind(entry: Mapping[str, Any]) -> str:
    """Return which null a score is compared with: rotated areas where there are any."""
    return "spin" if "spin_mean" in entry else "geometry"


def _methods(parcellations: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Iterate over (method, graph, scores): parcellations first, each followed by its baselines."""
    for name, record in parcellations.items():
        baselines = {other for metrics in record["graphs"].values() for other in metrics.get("baselines", {})}
        for graph, metrics in record["graphs"].items():
            yield name, graph, metrics
        for other in sorted(baselines):
            for graph, metrics in record["graphs"].items():
                if other in metrics.get("baselines", {}):
                    yield f"{name}: baseline {other}", graph, metrics["baselines"][other]


def _measure_panel(parcellations: Mapping[str, Mapping[str, Any]], measure: str) -> Html | None:
    found = [
        (method, graph, m["areas"][measure]) for method, graph, m in _methods(parcellations) if measure in m["areas"]
    ]
    if not found:
        return None
    rows: list[list[Cell | Content]] = [
        [
            method,
            graph,
            number_cell(entry["score"]),
            _spread(entry, "spin"),
            number_cell(entry.get("over_spin_sd"), "+.1f"),
            _spread(entry, "geometry"),
            number_cell(entry.get("over_geometry"), "+.3f"),
        ]
        for method, graph, entry in found
    ]
    columns = [
        Column("method", is_number=False),
        Column("graph", is_number=False),
        Column(MEASURES[measure]),
        Column("rotated areas"),
        Column("over them", "SD of null"),
        Column("geometry alone"),
        Column("over it"),
    ]
    caption = (
        f"{MEASURES[measure]} between parcels and annotated areas. Any two tilings of the cortex agree to some "
        "degree: read a score over its nulls, areas rotated on the sphere and as many parcels made from positions only."
    )
    return join([_measure_chart(found, measure), table(columns, rows, caption=caption, sortable=True)])


def _measure_chart(found: list[tuple[str, str, Mapping[str, Any]]], measure: str) -> Html:
    graphs = list(dict.fromkeys(graph for _, graph, _ in found))
    methods = list(dict.fromkeys(method for method, _, _ in found))
    traces: list[dict[str, Any]] = []
    for order, method in enumerate(methods):
        own = {graph: entry for other, graph, entry in found if other == method}
        shift = 0.6 * ((order + 0.5) / len(methods) - 0.5)
        place = [graphs.index(graph) + shift for graph in own]
        common = {"type": "scatter", "mode": "markers", "x": numbers(place), "legendgroup": method}
        colour = PALETTE[order % len(PALETTE)]
        kinds = [null_kind(entry) for entry in own.values()]
        nulls = [entry[f"{kind}_mean"] for kind, entry in zip(kinds, own.values(), strict=True)]
        spreads = [entry[f"{kind}_sd"] for kind, entry in zip(kinds, own.values(), strict=True)]
        traces.append(
            common
            | {
                "name": label(method),
                "y": numbers([entry["score"] for entry in own.values()]),
                "marker": {"color": colour, "size": 10},
                "hovertemplate": f"{label(method)}: %{{y:.3f}}<extra></extra>",
            }
        )
        traces.append(
            common
            | {
                "name": "its null ± SD",
                "showlegend": order == 0,
                "y": numbers(nulls),
                "error_y": {"type": "data", "array": numbers(spreads), "thickness": 1.5},
                "marker": {"color": colour, "size": 9, "symbol": "line-ew-open", "line": {"width": 2}},
                "hovertemplate": f"null of {label(method)}: %{{y:.3f}}<extra></extra>",
            }
        )
    ticks = {"tickvals": list(range(len(graphs))), "ticktext": [label(graph) for graph in graphs]}
    layout = {
        "xaxis": axis("graph", range=[-0.5, len(graphs) - 0.5], **ticks),
        "yaxis": axis(MEASURES[measure]),
        "showlegend": True,
    }
    return chart(traces, layout, caption="Dots: score; dashes with bars: mean and SD of its null.")


def _shape_table(parcellations: Mapping[str, Mapping[str, Any]]) -> Html:
    rows: list[list[Cell | Content]] = []
    for method, graph, metrics in _methods(parcellations):
        variance = metrics.get("variance_explained", {})
        counts = [
            metrics.get(key) for key in ("n_parcels", "n_pieces", "smallest_nodes", "median_nodes", "largest_nodes")
        ]
        cells = [Cell("" if count is None else f"{count:,}", count) for count in counts]
        rows.append([method, graph, *cells, number_cell(variance.get("score")), _spread(variance, "geometry")])
    columns = [
        Column("method", is_number=False),
        Column("graph", is_number=False),
        Column("parcels"),
        Column("connected pieces"),
        Column("smallest", "nodes"),
        Column("median", "nodes"),
        Column("largest", "nodes"),
        Column("variance explained"),
        Column("geometry alone"),
    ]
    caption = "Parcels: number, size, and the share of the features' variance that lies between them."
    return table(columns, rows, caption=caption, sortable=True)


def _spread(entry: Mapping[str, Any], kind: str) -> Cell:
    if f"{kind}_mean" not in entry:
        return Cell("")
    mean = float(entry[f"{kind}_mean"])
    return Cell(str(Spread(mean, float(entry[f"{kind}_sd"]))), mean)
