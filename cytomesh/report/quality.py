"""Quality of surfaces and image links: the records of build-graph as tables and distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import read_object
from cytomesh.graph.qc import is_rebuilt, unused_sections
from cytomesh.graph.storage import CortexGraph, graph_folder
from cytomesh.page.charts import axis, chart, histogram
from cytomesh.page.html import (
    Cell,
    Column,
    Html,
    Number,
    Part,
    Row,
    bullets,
    join,
    table,
    tag,
    verdict_cell,
    without_empty,
    wrapped,
)
from cytomesh.report.head import lacks_images

TITLE = "Quality of surfaces and links"
N_BINS = 40


def quality_part(run: Path, graphs: Sequence[CortexGraph]) -> Part:
    """Build the part from the `qc.json` of every graph and the links' own numbers."""
    records = {graph.name: read_object(graph_folder(run, graph.name) / "qc.json") for graph in graphs}
    has_links = not lacks_images(run, graphs)
    body = [
        _surfaces(graphs, records),
        *([_links(graphs, records)] if has_links else []),
        tag("div", *_distributions(graphs), class_="charts"),
    ]
    left_out = {name: "; ".join(unused_sections(record)) for name, record in records.items()}
    shown = [join([tag("strong", name), ": ", sections]) for name, sections in left_out.items() if sections]
    if shown:
        body += [tag("h3", "Sections left out"), bullets(shown)]
    return Part("quality", TITLE, join(body))


def _surfaces(graphs: Sequence[CortexGraph], records: Mapping[str, Mapping[str, Any]]) -> Html:
    rows: list[Row] = []
    for graph in graphs:
        surfaces = records[graph.name].get("surfaces", {})
        middle, pial, white = (surfaces.get(kind, {}) for kind in ("midthickness", "pial", "white"))
        eulers = [facts.get("euler_number") for facts in (pial, middle, white)]
        known = [euler for euler in eulers if euler is not None]
        is_sphere = bool(known) and all(euler == 2 for euler in known)
        is_closed = is_sphere and all(facts.get("is_closed", True) for facts in (pial, middle, white))
        is_own = not is_rebuilt(records[graph.name])
        thickness, cortex = surfaces.get("thickness_mm", {}), records[graph.name].get("cortex", {})
        rows.append(
            [
                graph.name,
                graph.brain_role,
                graph.n_nodes,
                100 * float((~graph.is_cortex).mean()),
                middle.get("edge_mm", {}).get("median"),
                Cell(" / ".join("?" if euler is None else str(euler) for euler in eulers), None),
                _closed(is_closed, is_own=is_own) if known else Cell("not checked"),
                _scaled(cortex.get("area_mm2", {}).get("pial", pial.get("area_mm2")), 100),
                _scaled(pial.get("volume_mm3"), 1000),
                thickness.get("median"),
                Cell(
                    f"{thickness['p5']:.2f} to {thickness['p95']:.2f}" if "p5" in thickness else "",
                    thickness.get("p95"),
                ),
            ]
        )
    columns: list[Column] = ["graph", "brain role", Number("nodes", form=",d"), Number("no cortex", "%", ".1f")]
    columns += [Number("edge", "mm", ".2f"), Number("Euler number, pial / mid / white"), Number("closed sphere")]
    columns += [Number("pial area", "cm²", ".0f"), Number("pial volume", "cm³", ".0f")]
    columns += [Number("thickness, median", "mm", ".2f"), Number("thickness, 5 to 95 %", "mm")]
    caption = (
        "Surfaces. A closed sphere has Euler number 2: no handles, no holes. Nodes at cut faces are not cortex. "
        "Surfaces from your own files may be open, as at the medial wall."
    )
    return table(*without_empty(columns, rows), caption=caption, sortable=True)


def _links(graphs: Sequence[CortexGraph], records: Mapping[str, Mapping[str, Any]]) -> Html:
    rows: list[Row] = []
    for graph in graphs:
        links = records[graph.name].get("links", {})
        reachable = links.get("share_linked_of_reachable")
        distance, oblique = links.get("distance_mm", {}), links.get("obliqueness_deg", {})
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in links.get("reasons", {}).items())
        rows.append(
            [
                graph.name,
                int(graph.is_linked.sum()),
                100 * float(graph.is_linked[graph.is_cortex].mean()),
                None if reachable is None else 100 * reachable,
                distance.get("median"),
                distance.get("p95"),
                links.get("max_distance_mm"),
                oblique.get("median"),
                int(((graph.annotation > 0) & graph.is_linked).sum()),
                Cell(wrapped(reasons or "all linked"), reasons),
            ]
        )
    columns: list[Column] = ["graph", Number("linked nodes", form=",d"), Number("share of cortex", "%", ".1f")]
    columns += [Number("share of nodes near a section", "%", ".1f"), Number("distance to plane, median", "mm")]
    columns += [Number("95 %", "mm"), Number("tolerance", "mm"), Number("obliqueness, median", "deg", ".0f")]
    columns += [Number("linked and annotated", form=",d"), "why not linked"]
    return table(columns, rows, caption="Image links: from each node to the nearest usable section.", sortable=True)


def _distributions(graphs: Sequence[CortexGraph]) -> list[Html]:
    def values(graph: CortexGraph, column: str) -> NDArray[np.float64]:
        if column not in graph.nodes:
            return np.zeros(0)
        column_values = np.asarray(graph.nodes[column], np.float64)
        if column != "thickness_mm":
            column_values = column_values[graph.is_linked]
        return column_values[np.isfinite(column_values)]

    figures = []
    for column, title, unit, limits in (
        ("thickness_mm", "cortical thickness", "mm", (0.0, 6.0)),
        ("distance_mm", "signed distance of the node from its section plane", "mm", None),
        ("obliqueness_deg", "obliqueness (angle between cortical normal and section plane)", "deg", (0.0, 90.0)),
    ):
        samples = {graph.name: values(graph, column) for graph in graphs}
        everything = np.concatenate(list(samples.values()))
        if not everything.size:
            continue
        low, high = limits or (float(everything.min()), float(everything.max()))
        edges = np.linspace(low, max(high, low + 1e-6), N_BINS + 1)
        traces = [
            histogram(name, sample, edges, order, unit)
            for order, (name, sample) in enumerate(samples.items())
            if sample.size
        ]
        above = float((everything > high).mean())
        note = f" {100 * above:.1f} % lie above {high:g} {unit} and are not shown." if above else ""
        share = axis("share of nodes", "%", rangemode="tozero")
        figures.append(chart(traces, axis(title, unit), share, caption=f"Distribution of {title}.{note}"))
    return figures


def _closed(is_closed: bool, *, is_own: bool) -> Cell:
    return Cell("no (own files)") if is_own and not is_closed else verdict_cell(is_closed)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
