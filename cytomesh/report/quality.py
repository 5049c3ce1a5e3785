"""Quality of surfaces and image links: the records of build-graph as tables and distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import read_json
from cytomesh.graph.storage import CortexGraph, graph_folder
from cytomesh.report.charts import axis, chart, histogram
from cytomesh.report.html import Cell, Column, Content, Html, Part, join, table, tag

TITLE = "Quality of surfaces and links"
N_BINS = 40


def quality_part(run: Path, graphs: Sequence[CortexGraph]) -> Part:
    """Build the part from the `qc.json` of every graph and the links' own numbers."""
    records = {graph.name: read_json(graph_folder(run, graph.name) / "qc.json") for graph in graphs}
    body = [_surfaces(graphs, records), _links(graphs, records), tag("div", *_distributions(graphs), class_="charts")]
    left_out = [_left_out(name, record) for name, record in records.items()]
    shown = [item for item in left_out if item is not None]
    if shown:
        body += [tag("h3", "Sections left out"), tag("ul", *shown)]
    return Part("quality", TITLE, join(body))


def _surfaces(graphs: Sequence[CortexGraph], records: Mapping[str, Mapping[str, Any]]) -> Html:
    rows: list[list[Cell | Content]] = []
    for graph in graphs:
        surfaces = records[graph.name].get("surfaces", {})
        middle, pial, white = (surfaces.get(kind, {}) for kind in ("midthickness", "pial", "white"))
        eulers = [facts.get("euler_number") for facts in (pial, middle, white)]
        is_sphere = all(euler == 2 for euler in eulers)
        thickness, cortex = surfaces.get("thickness_mm", {}), records[graph.name].get("cortex", {})
        rows.append(
            [
                graph.name,
                graph.brain_role,
                number(graph.n_nodes, ",d"),
                number(100 * float((~graph.is_cortex).mean()), ".1f"),
                number(middle.get("edge_mm", {}).get("median"), ".2f"),
                Cell(" / ".join("?" if euler is None else str(euler) for euler in eulers), None),
                verdict(is_sphere and all(facts.get("is_closed", True) for facts in (pial, middle, white))),
                number(_scaled(cortex.get("area_mm2", {}).get("pial", pial.get("area_mm2")), 100), ".0f"),
                number(_scaled(pial.get("volume_mm3"), 1000), ".0f"),
                number(thickness.get("median"), ".2f"),
                Cell(
                    f"{thickness['p5']:.2f} to {thickness['p95']:.2f}" if "p5" in thickness else "",
                    thickness.get("p95"),
                ),
            ]
        )
    columns = [
        Column("graph", is_number=False),
        Column("brain role", is_number=False),
        Column("nodes"),
        Column("no cortex", "%"),
        Column("edge", "mm"),
        Column("Euler number, pial / mid / white"),
        Column("closed sphere"),
        Column("pial area", "cm²"),
        Column("pial volume", "cm³"),
        Column("thickness, median", "mm"),
        Column("thickness, 5 to 95 %", "mm"),
    ]
    caption = "Surfaces. A closed sphere has Euler number 2: no handles, no holes. Nodes at cut faces are no cortex."
    return table(columns, rows, caption=caption, sortable=True)


def _links(graphs: Sequence[CortexGraph], records: Mapping[str, Mapping[str, Any]]) -> Html:
    rows: list[list[Cell | Content]] = []
    for graph in graphs:
        links = records[graph.name].get("links", {})
        reachable = links.get("share_linked_of_reachable")
        distance, oblique = links.get("distance_mm", {}), links.get("obliqueness_deg", {})
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in links.get("reasons", {}).items())
        rows.append(
            [
                graph.name,
                number(int(graph.is_linked.sum()), ",d"),
                number(100 * float(graph.is_linked[graph.is_cortex].mean()), ".1f"),
                number(None if reachable is None else 100 * reachable, ".1f"),
                number(distance.get("median"), ".3f"),
                number(distance.get("p95"), ".3f"),
                number(links.get("max_distance_mm"), ".3f"),
                number(oblique.get("median"), ".0f"),
                number(int(((graph.annotation > 0) & graph.is_linked).sum()), ",d"),
                Cell(reasons or "all linked"),
            ]
        )
    columns = [
        Column("graph", is_number=False),
        Column("linked nodes"),
        Column("share of cortex", "%"),
        Column("share of nodes near a section", "%"),
        Column("distance to plane, median", "mm"),
        Column("95 %", "mm"),
        Column("tolerance", "mm"),
        Column("obliqueness, median", "deg"),
        Column("linked and annotated"),
        Column("why not linked", is_number=False),
    ]
    return table(columns, rows, caption="Image links: from each node to the nearest usable section.", sortable=True)


def _distributions(graphs: Sequence[CortexGraph]) -> list[Html]:
    def values(graph: CortexGraph, column: str) -> NDArray[np.float64]:
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
        layout = {
            "xaxis": axis(f"{title} ({unit})"),
            "yaxis": axis("share of nodes (%)", rangemode="tozero"),
            "showlegend": True,
        }
        above = float((everything > high).mean())
        note = f" {100 * above:.1f} % lie above {high:g} {unit} and are not shown." if above else ""
        figures.append(chart(traces, layout, caption=f"Distribution of {title}.{note}"))
    return figures


def _left_out(name: str, record: Mapping[str, Any]) -> Html | None:
    missing_sections = record.get("missing_sections", [])
    skipped = record.get("skipped_sections", [])
    if not missing_sections and not skipped:
        return None
    facts = []
    if missing_sections:
        facts.append(f"declared missing or damaged: {', '.join(map(str, missing_sections))}")
    facts += [f"section {item.get('section')} skipped: {item.get('problem')}" for item in skipped]
    return tag("li", tag("strong", name), ": ", "; ".join(facts))


def verdict(is_passed: bool) -> Cell:
    """Return a cell that says pass or fail in words and colour."""
    return Cell("pass" if is_passed else "fail", 1 if is_passed else 0, "pass" if is_passed else "fail")


def number(value: float | None, form: str) -> Cell:
    """Return a cell with a formatted number that sorts by its full value; empty if there is none."""
    return Cell("" if value is None else format(value, form), value)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
