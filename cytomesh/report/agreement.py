"""Parcellations: agreement with the areas, beside what chance and geometry give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cytomesh.page.charts import axis, beside, category_axis, chart, dot_marker, dots, label
from cytomesh.page.colours import line_colour
from cytomesh.page.html import (
    Cell,
    Column,
    Content,
    Html,
    Number,
    Part,
    Row,
    choice,
    join,
    missing,
    not_shown,
    table,
    without_empty,
)
from cytomesh.report.results import Spread, damage_notes, read_parcellations, unfinished_notes

TITLE = "Parcellation"
MEASURES = {"ari": "ARI", "nmi": "NMI", "ami": "AMI"}
NULLS = {"spin": "areas rotated on the sphere", "geometry": "parcels of the same number from geometry alone"}


def parcellation_part(run: Path) -> Part:
    """Build the part with every parcellation of the run and its baselines."""
    parcellations = read_parcellations(run)
    left_out = damage_notes(run, "parcellate", parcellations) + unfinished_notes(run, "parcellate")
    if not parcellations:
        if left_out:
            return Part("parcellation", TITLE, join(left_out), is_absent=True)
        return missing("parcellation", TITLE, "No parcellation in this run: 'cytomesh parcellate' has not run.")
    panels = [(MEASURES[measure], _measure_panel(parcellations, measure)) for measure in MEASURES]
    shown = [(title, panel) for title, panel in panels if panel is not None]
    body = [choice("Score", shown)] if shown else [not_shown("No areas to compare the parcels with.")]
    return Part("parcellation", TITLE, join([*left_out, *body, _shape_table(parcellations)]))


def agreement_table(parcellations: Mapping[str, Mapping[str, Any]]) -> Html:
    """Return each parcellation's ARI and NMI with the areas, each with its null."""
    rows: list[Row] = []
    for name, record in parcellations.items():
        for graph, metrics in record["graphs"].items():
            cells: list[Cell | Content | None] = []
            for measure in ("ari", "nmi"):
                entry = metrics["areas"].get(measure, {})
                kind = null_kind(entry)
                cells += [entry.get("score"), _spread(entry, kind), entry.get(f"over_{kind}")]
            rows.append([name, graph, metrics["n_parcels"], *cells])
    columns: list[Column] = ["parcellation", "graph", Number("parcels", form="d")]
    n_facts = len(columns)
    for measure in ("ari", "nmi"):
        columns += [Number(MEASURES[measure]), Number("null"), Number("over null", form="+.3f")]
    kinds = {
        null_kind(m["areas"].get("ari", {})) for record in parcellations.values() for m in record["graphs"].values()
    }
    meaning = "; ".join(NULLS[kind] for kind in NULLS if kind in kinds)
    shown, filled = without_empty(columns, rows)
    caption = (
        f"Parcellation: agreement of parcels with annotated areas, 1 is perfect. Null: {meaning}, mean ± SD."
        if len(shown) > n_facts
        else "Parcellation: there are no annotated areas to compare the parcels with."
    )
    return table(shown, filled, caption=caption, sortable=True)


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
    rows: list[Row] = [
        [
            method,
            graph,
            entry["score"],
            _spread(entry, "spin"),
            entry.get("over_spin_sd"),
            _spread(entry, "geometry"),
            entry.get("over_geometry"),
        ]
        for method, graph, entry in found
    ]
    columns: list[Column] = ["method", "graph", Number(MEASURES[measure]), Number("rotated areas")]
    columns += [Number("over them", "SD of null", "+.1f"), Number("geometry alone"), Number("over it", form="+.3f")]
    caption = (
        f"{MEASURES[measure]} between parcels and annotated areas. Any two tilings of the cortex agree to some "
        "degree: compare a score with its nulls, areas rotated on the sphere and as many parcels of positions alone."
    )
    return join([_measure_chart(found, measure), table(columns, rows, caption=caption, sortable=True)])


def _measure_chart(found: list[tuple[str, str, Mapping[str, Any]]], measure: str) -> Html:
    graphs = list(dict.fromkeys(graph for _, graph, _ in found))
    methods = list(dict.fromkeys(method for method, _, _ in found))
    traces: list[dict[str, Any]] = []
    for order, method in enumerate(methods):
        own = {graph: entry for other, graph, entry in found if other == method}
        place = beside(map(graphs.index, own), order, len(methods))
        nulls = [(entry, null_kind(entry)) for entry in own.values()]
        means, sds = ([entry[f"{kind}_{part}"] for entry, kind in nulls] for part in ("mean", "sd"))
        colour = line_colour(order)
        scores = dots(method, place, [entry["score"] for entry in own.values()], None, dot_marker(order))
        dash = {"color": colour, "size": 9, "symbol": "line-ew-open", "line": {"width": 2}}
        null = dots(f"null of {method}", place, means, sds, dash)
        traces += [
            scores | {"legendgroup": method},
            null | {"name": "its null ± SD", "legendgroup": method, "showlegend": order == 0},
        ]
    x, y = category_axis("graph", [label(graph) for graph in graphs]), axis(MEASURES[measure])
    return chart(traces, x, y, caption="Dots: score; dashes with bars: mean and SD of its null.")


def _shape_table(parcellations: Mapping[str, Mapping[str, Any]]) -> Html:
    rows: list[Row] = []
    for method, graph, metrics in _methods(parcellations):
        variance = metrics.get("variance_explained", {})
        counts = [
            metrics.get(key) for key in ("n_parcels", "n_pieces", "smallest_nodes", "median_nodes", "largest_nodes")
        ]
        rows.append([method, graph, *counts, variance.get("score"), _spread(variance, "geometry")])
    columns: list[Column] = ["method", "graph", Number("parcels", form=","), Number("connected pieces", form=",")]
    columns += [Number(size, "nodes", ",") for size in ("smallest", "median", "largest")]
    columns += [Number("variance explained"), Number("geometry alone")]
    columns, rows = without_empty(columns, rows)
    caption = "Parcels: number, size, and the share of the features' variance that lies between them."
    return table(columns, rows, caption=caption, sortable=True)


def _spread(entry: Mapping[str, Any], kind: str) -> Cell:
    if f"{kind}_mean" not in entry:
        return Cell("")
    mean = float(entry[f"{kind}_mean"])
    return Cell(str(Spread(mean, float(entry[f"{kind}_sd"]))), mean)
