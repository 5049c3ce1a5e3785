"""One self-contained page on the quality of a graph: small, static, no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cytomesh.core.counted import counted
from cytomesh.graph.limits import Verdict, bounds
from cytomesh.graph.qc import is_rebuilt, surface_notes, unused_sections
from cytomesh.page.document import page
from cytomesh.page.html import Column, Html, Number, Part, Row, bullets, folded, join, table, tag, verdict_cell
from cytomesh.page.svg_charts import DASHED, DOTTED, SOLID, Axis, Line, bar_chart, line_chart

CHANNELS = ("red", "green", "blue")
ALONG = Axis("position along the stack", "mm")


def quality_page(qc: Mapping[str, Any], pictures: Sequence[Html] = ()) -> str:
    """Return the page of one graph's record, with `verdicts`, as HTML text.

    Parameters
    ----------
    pictures : sequence of Html
        Of the sections that verdicts name, see `named_sections`.
    """
    verdicts = [Verdict(**item) for item in qc["verdicts"]]
    failed = sum(not verdict.is_passed for verdict in verdicts)
    judged = sum(verdict.is_judged for verdict in verdicts)
    outcome = f"{failed} of {judged} checks failed" if failed else f"all {judged} checks passed"
    sections, unused = qc["sections"], unused_sections(qc)
    head = [
        tag("h1", f"{qc['name']}: quality of surfaces and links"),
        tag(
            "p",
            f"{counted(len(sections), 'section')}, {len(unused)} of them missing, damaged or left out; ",
            tag("span", outcome, class_="fail" if failed else "pass"),
            ".",
            class_="soft",
        ),
        tag("p", _origin(qc), class_="soft"),
    ]
    parts = [
        Part("checks", "Checks", _checks(verdicts)),
        *_fidelity(qc, pictures),
        Part("thickness", "Cortical thickness", _thickness(qc["surfaces"]["thickness_histogram"])),
        Part("links", "Linked nodes", _linked(sections)),
    ]
    stained = [item for item in sections if "stain" in item]
    if stained:
        parts.append(Part("stain", "Glass and stain", _stains(stained)))
    moved = [item for item in sections if "shift_mm" in item]
    if moved:
        parts.append(Part("corrections", "Correction of each section", _corrections(moved)))
    if notes := surface_notes(qc):
        rebuilt, given = "What the surfaces have and the contours lack", "Surfaces and cortex"
        body = join([bullets(notes), *_places(qc)])
        parts.append(Part("notes", rebuilt if is_rebuilt(qc) else given, body))
    if qc.get("objections"):
        parts.append(Part("objections", "Sections that do not fit their stack", bullets(qc["objections"])))
    if unused:
        parts.append(Part("unused", "Unusable sections", bullets(unused)))
    return page(f"{qc['name']}: quality", join(head), parts)


def _places(qc: Mapping[str, Any]) -> list[Html]:
    """List where the topology of each rebuilt surface was corrected."""
    rows: list[Row] = [
        [kind, *place, count]
        for kind in ("pial", "white")
        if is_rebuilt(qc)
        for place, count in zip(qc["report"][kind]["places_mm"], qc["report"][kind]["places_voxels"], strict=False)
    ]
    columns: list[Column] = ["surface", *(Number(axis, "mm", ".1f") for axis in "xyz"), Number("voxels", form=",d")]
    caption = "Where the topology of each surface was corrected: the largest places, at most 200."
    return [folded(counted(len(rows), "place"), table(columns, rows, caption=caption))] if rows else []


def _origin(qc: Mapping[str, Any]) -> str:
    if is_rebuilt(qc):
        return "Surfaces rebuilt from the contours of the sections."
    files = "; ".join(f"{kind}: {path}" for kind, path in qc["own_files"].items())
    return f"Surfaces from your own files: node i is vertex i. {files}."


def _fidelity(qc: Mapping[str, Any], pictures: Sequence[Html]) -> list[Part]:
    if not is_rebuilt(qc) and not any("pial_distance_mm" in item for item in qc["sections"]):
        return []
    title = "Contours and the surfaces built from them" if is_rebuilt(qc) else "Contours and the surfaces given"
    return [Part("contours", title, join([_distances(qc["sections"]), *_named(pictures)]))]


def _named(pictures: Sequence[Html]) -> list[Html]:
    if not pictures:
        return []
    keys = [
        tag("span", tag("span", class_="key pial"), "pial contour  "),
        tag("span", tag("span", class_="key white"), "white contour  "),
        tag("span", tag("span", class_="key built"), "where the surfaces cross the section"),
    ]
    return [tag("h3", "Sections that the checks name"), tag("p", *keys), tag("div", *pictures, class_="slices")]


def _checks(verdicts: Sequence[Verdict]) -> Html:
    rows: list[Row] = [
        [
            f"{verdict.name} ({verdict.place})" if verdict.place else verdict.name,
            verdict_cell(verdict.is_passed) if verdict.is_judged else "",
            verdict.measured or "none",
            bounds(verdict),
        ]
        for verdict in verdicts
    ]
    columns: list[Column] = ["measured", "verdict", Number("value"), "accepted"]
    return table(columns, rows, caption="What is accepted is set by checks.* of the settings.")


def _distances(sections: Sequence[Mapping[str, Any]]) -> Html:
    lines = []
    for order, (kind, dash) in enumerate((("pial", SOLID), ("white", DASHED))):
        drawn = [item for item in sections if f"{kind}_distance_mm" in item]
        at = np.array([item["position_mm"] for item in drawn])
        for measure, name, style in (("mean", "mean", dash), ("p95", "95 %", DOTTED)):
            values = np.array([item[f"{kind}_distance_mm"][measure] for item in drawn], np.float64)
            lines.append(Line(f"{kind}, {name}", at, values, order, style))
    caption = "Distance of each section's contour points to the surface, along the stack."
    return line_chart(lines, ALONG, Axis("distance", "mm"), caption)


def _thickness(histogram: Mapping[str, Any]) -> Html:
    edges, counts = np.asarray(histogram["edges_mm"], np.float64), np.asarray(histogram["counts"], np.float64)
    share = 100.0 * counts / max(counts.sum(), 1.0)
    caption = "Length of field lines from white to pial."
    return bar_chart(edges, share, Axis("thickness", "mm"), Axis("share of nodes", "%"), caption)


def _linked(sections: Sequence[Mapping[str, Any]]) -> Html:
    at = np.array([item["position_mm"] for item in sections])
    counts = np.array([item["n_linked"] for item in sections], np.float64)
    caption = "Nodes whose image link leads to each section; none where there is no image or no cortex near."
    return line_chart([Line("nodes", at, counts)], ALONG, Axis("nodes linked to the section"), caption)


def _stains(sections: Sequence[Mapping[str, Any]]) -> Html:
    at = np.array([item["position_mm"] for item in sections])
    charts = []
    for name, axis, caption in (
        (
            "background",
            Axis("light", "grey levels"),
            "Brightness of the glass, as stored: image.normalise is not applied.",
        ),
        ("density", Axis("optical density"), "95th percentile of the tissue's optical density."),
    ):
        values = np.array([item["stain"][name] for item in sections], np.float64)
        channels = CHANNELS if values.shape[1] == len(CHANNELS) else ("",)
        lines = [Line(channel, at, values[:, n], n) for n, channel in enumerate(channels)]
        charts.append(line_chart(lines, ALONG, axis, caption))
    return join(charts)


def _corrections(sections: Sequence[Mapping[str, Any]]) -> Html:
    at = np.array([item["position_mm"] for item in sections])
    shifts = np.array([item["shift_mm"] for item in sections])
    turns = np.array([item["rotation_deg"] for item in sections])
    rows: list[Row] = [
        [
            item["section"],
            item["position_mm"],
            *item["shift_mm"],
            item["rotation_deg"],
            "" if item["is_measured"] else "no contours to compare",
        ]
        for item in sections
    ]
    columns: list[Column] = [Number("section", form="d"), Number("position", "mm", ".2f")]
    columns += [Number(title, "mm", "+.3f") for title in ("first axis", "second axis")]
    columns += [Number("turn", "deg", "+.3f"), ""]
    axes = [Line("first axis", at, shifts[:, 0]), Line("second axis", at, shifts[:, 1], 1, DASHED)]
    shift, turn = "Shift of each section within its plane.", "Rotation of each section about the stack's axis."
    return join(
        [
            line_chart(axes, ALONG, Axis("shift", "mm"), shift),
            line_chart([Line("turn", at, turns, 2, DOTTED)], ALONG, Axis("turn", "deg"), turn),
            folded(f"all {len(sections)} sections", table(columns, rows, caption=f"{shift} {turn}")),
        ]
    )
