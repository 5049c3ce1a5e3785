"""`RUN/parcellate/NAME/parcels.html`: the parcels of a run on their surfaces, with cards, confidence and candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.counted import counted
from cytomesh.core.errors import MissingStageError
from cytomesh.core.files import read_json, read_object, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import read_table
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.page.charts import axis, chart, curve
from cytomesh.page.colours import CIVIDIS, css_colour
from cytomesh.page.document import page
from cytomesh.page.html import (
    Cell,
    Column,
    Html,
    Number,
    Part,
    Row,
    choice,
    join,
    missing,
    swatch,
    table,
    tag,
    without_empty,
)
from cytomesh.report.agreement import agreement_table
from cytomesh.report.maps import (
    ANNOTATION,
    THICKNESS,
    LabelMap,
    NodeMap,
    ScalarMap,
    annotation_map,
    first_title,
    thickness_map,
    with_values,
)
from cytomesh.report.surfaces import Mark, viewer, viewer_scripts
from cytomesh.surface.gifti import read_labels

PARCELS, CONFIDENCE = "parcels", "confidence"
RARE = 0.05
SCORES = {"co_assignment": "co-assignment", "ami": "AMI", "ari": "ARI"}
NULLS = ("noise_mean", "over_noise", "geometry_mean", "over_geometry")


def parcel_page(run: Path, name: str) -> Path:
    """Write the page of one parcellation, self-contained and whole or not at all; returns its path.

    Raises
    ------
    MissingStageError
        If this parcellation is not finished, or its cards are those of an earlier version.
    """
    folder = run / "parcellate" / name
    if not (folder / "metrics.json").is_file():
        hint = f"run 'cytomesh parcellate --out {run} --name {name}'"
        raise MissingStageError(folder, found="no finished parcellation", hint=hint)
    metrics = read_object(folder / "metrics.json")
    graphs = [graph for graph in load_graphs(run) if graph.name in metrics["graphs"]]
    cards = {graph.name: _read_cards(folder / f"{graph.name}_parcels.json", run, name) for graph in graphs}
    candidates = {graph.name: read_json(folder / f"{graph.name}_subdivisions.json") for graph in graphs}
    tables = {graph.name: read_labels(folder / f"{graph.name}.label.gii")[1] for graph in graphs}
    parts = [
        _surfaces(run, folder, graphs, cards, candidates),
        _cards_part(metrics, cards, tables),
        _candidates_part(candidates, _has_areas(cards)),
        _stability_part(metrics),
        *_count_part(metrics),
    ]
    title = f"Parcels: {name}"
    facts = f"Method {metrics['method']}{_chosen(metrics)}, features {metrics['encoder']}, "
    facts += f"{counted(len(graphs), 'hemisphere')}."
    head = join([tag("h1", title), tag("p", facts, class_="soft"), agreement_table({name: metrics})])
    path = folder / "parcels.html"
    write_text(path, page(title, head, parts, viewer_scripts()))
    return path


def _chosen(metrics: Mapping[str, Any]) -> str:
    """Say why this method, where others were tried."""
    tried = [f"{one['method']} {one.get('halves_ami_over_noise', 0):.2f}" for one in metrics.get("methods", ())]
    units = _units(*metrics["graphs"].values()) or "sections"
    what = f"agreement of parcels from two halves of the {units}, AMI above random numbers"
    return f" (chosen by the {what}: {', '.join(tried)})" if tried else ""


def _units(*graphs: Mapping[str, Any]) -> str:
    """Return what stability was measured on halves of: sections, or slabs of graphs without them."""
    return " or ".join(sorted({own["stability"]["units"] for own in graphs if own.get("stability")}))


def _read_cards(path: Path, run: Path, name: str) -> list[dict[str, Any]]:
    cards: list[dict[str, Any]] = read_json(path)
    if not all("n_annotated" in card for card in cards):
        hint = f"run 'cytomesh parcellate --out {run} --name {name} --no-resume'"
        raise MissingStageError(path, found="parcel cards of an earlier version", hint=hint)
    return cards


def _surfaces(
    run: Path,
    folder: Path,
    graphs: Sequence[CortexGraph],
    cards: Mapping[str, Sequence[Mapping[str, Any]]],
    candidates: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Part:
    maps = with_values({graph.name: _maps(folder, graph, cards[graph.name]) for graph in graphs})
    marks = {
        name: [_mark(entry) for entry in entries if entry["p"] is not None and entry["p"] <= RARE]
        for name, entries in candidates.items()
    }
    shown = (PARCELS, first_title(maps, (CONFIDENCE, ANNOTATION, THICKNESS)))
    note = "Parcels with similar features have similar colours; point at one for its card."
    if any(marks.values()):
        note += (
            " White diamonds: candidate subdivisions, data-driven borders inside one annotated area that the same "
            f"method hardly finds in random numbers (p at most {RARE:g}, corrected for all borders examined); all are "
            "listed below."
        )
    return Part("surfaces", "Parcels on the surface", viewer(run, graphs, maps, shown, note, marks))


def _maps(folder: Path, graph: CortexGraph, cards: Sequence[Mapping[str, Any]]) -> list[NodeMap]:
    labels, names = read_labels(folder / f"{graph.name}.label.gii")
    own = {card["parcel"]: _lines(card) for card in cards}
    details = tuple(own.get(index, ()) for index in names.indices)
    maps: list[NodeMap] = [LabelMap(PARCELS, "parcels", labels, names, "no parcel", details)]
    columns = read_table(folder / f"{graph.name}.parquet").columns
    if CONFIDENCE in columns:
        values = np.asarray(columns[CONFIDENCE], np.float64)
        maps.append(ScalarMap(CONFIDENCE, "confidence", values, "", CIVIDIS, (0.0, 1.0)))
    maps.append(annotation_map(graph))
    for name in sorted(column for column in columns if column.startswith("gradient_")):
        maps.append(ScalarMap(name.replace("_", " "), "gradients", np.asarray(columns[name], np.float64), ""))
    maps.append(thickness_map(graph))
    return maps


def _has_areas(cards: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    return any(card["n_annotated"] for entries in cards.values() for card in entries)


def _lines(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a parcel card as lines of text."""
    size = f"{counted(card['n_nodes'], 'node')}, {card['area_mm2']:,.0f} mm²"
    thickness = f", {card['thickness_mm']:.2f} mm thick" if card.get("thickness_mm") is not None else ""
    lines = [size + thickness, f"middle at {_place(card)}"]
    if "confidence" in card:
        lines.append(f"confidence {card['confidence']:.2f}")
    if card["overlaps"]:
        lines.append(f"lies in {_overlaps(card)} of {card['n_annotated']:,} annotated nodes")
    if card.get("most_similar"):
        lines.append("most similar to " + ", ".join(_similar(card)))
    return tuple(lines)


def _overlaps(card: Mapping[str, Any]) -> str:
    return ", ".join(f"{entry['area']} {100 * entry['share']:.0f} %" for entry in card["overlaps"])


def _similar(card: Mapping[str, Any]) -> list[str]:
    return [
        f"{entry['area']} ({entry['over_null']:+.1f} SD)" if "over_null" in entry else str(entry["area"])
        for entry in card.get("most_similar", ())
    ]


def _place(entry: Mapping[str, Any]) -> str:
    return f"{entry['x_mm']:.1f}, {entry['y_mm']:.1f}, {entry['z_mm']:.1f} mm"


def _mark(entry: Mapping[str, Any]) -> Mark:
    one, other = entry["parcels"]
    lines = [
        f"candidate subdivision of {entry['area']}",
        f"between parcels {one} and {other}",
        f"contrast {entry['contrast']:.2f}, geometry alone {entry['null_mean']:.2f} ({entry['effect_sd']:+.1f} SD)",
        f"at {_place(entry)}",
    ]
    return Mark(entry["node"], (*lines, *(f"look at {place}" for place in _pixels(entry)[:1])))


def _pixels(entry: Mapping[str, Any]) -> list[str]:
    """Return where to look, in words; earlier versions listed places without pixels, too."""
    return [
        f"section {place['section']}: {place['column_px']:.0f}, {place['row_px']:.0f} px"
        for place in entry["places"]
        if place["column_px"] is not None
    ]


def _cards_part(
    metrics: Mapping[str, Any], cards: Mapping[str, Sequence[Mapping[str, Any]]], tables: Mapping[str, LabelTable]
) -> Part:
    has_areas = _has_areas(cards)
    columns: list[Column] = ["parcel", Number("nodes", form=",d"), Number("annotated", "nodes", ",d")]
    columns += [Number("area", "mm²", ",.0f"), Number("thickness", "mm", ".2f"), Number("confidence", form=".2f")]
    columns += ["middle: x, y, z", "lies in", "most similar areas"]
    similar = ""
    if has_areas:
        similar = (
            " Lies in: share of its annotated nodes. Most similar areas: by mean features; in brackets how much nearer "
            "they are than parcels made from geometry alone, in standard deviations of those."
        )
    panels = []
    for graph, entries in cards.items():
        colours = dict(zip(tables[graph].indices, tables[graph].colours, strict=True))
        rows: list[Row] = []
        for card in entries:
            colour = css_colour(colours[card["parcel"]])
            rows.append(
                [
                    Cell(join([swatch(colour), card["name"]]), card["parcel"]),
                    card["n_nodes"],
                    card["n_annotated"] if has_areas else None,
                    card["area_mm2"],
                    card.get("thickness_mm"),
                    card.get("confidence"),
                    _place(card),
                    _overlaps(card),
                    ", ".join(_similar(card)),
                ]
            )
        units = _units(metrics["graphs"][graph])
        found = f" Confidence: share of the parcel that is found again from half of the {units}." if units else ""
        caption = f"One row per parcel.{found}{similar}"
        grid = table(*without_empty(columns, rows), caption=caption, sortable=True)
        panels.append((graph, tag("div", grid, class_="tall")))
    return Part("cards", "Parcel cards", choice("Graph", panels))


def _candidates_part(candidates: Mapping[str, Sequence[Mapping[str, Any]]], has_areas: bool) -> Part:
    title = "Candidate subdivisions"
    if not has_areas:
        return missing("candidates", title, "Not looked for: there are no annotated areas that a border could divide.")
    if not any(candidates.values()):
        return missing(
            "candidates", title, "No border inside an annotated area is stronger than those of geometry alone."
        )
    columns: list[Column] = ["area", "parcels", Number("contrast", form=".2f"), Number("geometry alone", form=".2f")]
    columns += [Number("over it", "SD", "+.1f"), Number("p", form=".2g"), "middle: x, y, z", "where to look"]
    caption = (
        "Data-driven borders that lie inside one annotated area, strongest first, beside borders inside areas of "
        "parcels made from geometry alone. p: how rarely the same method finds a border as strong in random numbers, "
        "by Student's distribution of those that it finds there (few repeats give a small p, too), "
        "after Holm's correction for all borders examined; empty where no such parcels were made "
        "(evaluation.stability)."
    )
    panels = []
    for graph, entries in candidates.items():
        rows: list[Row] = [
            [
                entry["area"],
                f"{entry['parcels'][0]} / {entry['parcels'][1]}",
                entry["contrast"],
                entry["null_mean"],
                entry["effect_sd"],
                entry["p"],
                _place(entry),
                "; ".join(_pixels(entry)[:3]),
            ]
            for entry in entries
        ]
        grid = table(*without_empty(columns, rows), caption=caption, sortable=True)
        panels.append((graph, tag("div", grid, class_="tall")))
    return Part("candidates", title, choice("Graph", panels))


def _stability_part(metrics: Mapping[str, Any]) -> Part:
    rows: list[Row] = []
    for graph, own in metrics["graphs"].items():
        found = own.get("stability")
        if found is not None:
            what = f"halves of its {found['n_units']} {found['units']}"
            rows += [[graph, what, *cells] for cells in _score_cells(found["halves"])]
            rows += [[graph, "parcels with those of either half", *cells] for cells in _score_cells(found["parcels"])]
    for pair in metrics.get("brains", []):
        rows += [[" and ".join(pair["graphs"]), "brains", *cells] for cells in _score_cells(pair)]
    if not rows:
        return missing(
            "stability", "Stability", "Not measured: evaluation.stability.splits is 0, and there is one brain."
        )
    columns: list[Column] = ["graph", "compared", "score", Number("value"), Number("noise in place of features")]
    columns += [Number("over it", form="+.3f"), Number("geometry alone"), Number("over it", form="+.3f")]
    caption = (
        "Are the parcels reproducible? Co-assignment: share of the nodes in either parcel of a node that are in both, "
        "mean over nodes. Noise: parcels that the same method makes on the same mesh of random numbers. Geometry: as "
        "many parcels of about equal size."
    )
    return Part("stability", "Stability", table(columns, rows, caption=caption, sortable=True))


def _score_cells(scores: Mapping[str, Any]) -> list[Row]:
    return [
        [title, scores[name]["score"], *(scores[name].get(key) for key in NULLS)]
        for name, title in SCORES.items()
        if name in scores
    ]


def _count_part(metrics: Mapping[str, Any]) -> list[Part]:
    panels: list[tuple[str, Html]] = []
    for graph, own in metrics["graphs"].items():
        rows = own.get("candidates")
        if not rows:
            continue
        numbers = [row["n_parcels"] for row in rows]
        lines = [
            curve(title, numbers, [row[key] for row in rows], order)
            for order, (key, title) in enumerate(
                (("co_assignment", "halves"), ("noise", "noise"), ("geometry", "geometry alone"))
            )
            if key in rows[0]
        ]
        caption = f"Chosen: {own['n_parcels']}, where the halves are the largest multiple of the larger null."
        panels.append((graph, chart(lines, axis("number of parcels"), axis("co-assignment"), caption=caption)))
    return [Part("count", "How many parcels", choice("Graph", panels))] if panels else []
