"""Patch examples: what the encoder sees, pial side up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError
from cytomesh.core.progress import log
from cytomesh.core.random import generator
from cytomesh.core.run import finished_folders
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pictures import data_uri, displayable, round_length, scale_bar
from cytomesh.imaging.pyramid import open_section
from cytomesh.page.colours import css_colour
from cytomesh.page.html import Html, Part, join, missing, swatch, tag
from cytomesh.study.sections import Section
from cytomesh.study.study import Study
from cytomesh.surface.gifti import read_labels, read_scalars

N_AREAS = 10
PATCHES_PER_AREA = 5
N_EXTREME = 8
MAX_SHOWN_PX = 192
DEFAULT_FIELD_MM = 4.0
TITLE = "Patches"


@dataclass(frozen=True, slots=True)
class PatchRequest:
    """One patch to show: a node and what to say about it."""

    graph: CortexGraph
    node: int
    note: str


def patch_part(run: Path, study: Study | None, graphs: Sequence[CortexGraph]) -> Part:
    """Build the part with examples of the largest areas and of high and low confidence."""
    if study is None:
        return missing("patches", TITLE, "The study of this run cannot be opened, so no patch is shown.")
    sections = {
        (brain.id, section.index): section for brain in study.brains for section in brain.sections if section.image
    }
    usable = {graph.name: _usable(graph, sections) for graph in graphs}
    groups = [*_area_groups(graphs, usable), *_confidence_groups(run, graphs, usable)]
    groups = [(title, requests) for title, requests in groups if requests]
    if not groups:
        return missing("patches", TITLE, "No node of this run is linked to an image.")
    size_px, um_per_px = patch_geometry(run, next(iter(sections.values())))
    pictures = _read([request for _, requests in groups for request in requests], sections, size_px, um_per_px)
    bar_mm = round_length(size_px * um_per_px / 1000, 0.35)
    rows = []
    for title, requests in groups:
        figures = [
            _figure(request, pictures[key], bar_mm, um_per_px, size_px)
            for request in requests
            if (key := (request.graph.name, request.node)) in pictures
        ]
        if figures:
            rows.append(join([title, tag("div", *figures, class_="patches")]))
    intro = (
        f"Pial side up; {size_px} x {size_px} px at {um_per_px:g} µm/px, a field of "
        f"{size_px * um_per_px / 1000:.3g} mm; scale bars: {bar_mm:g} mm. Nodes are drawn at random among the linked "
        "ones; where the section is oblique to the cortex (angle given), layers look wider than they are."
    )
    return Part("patches", TITLE, join([tag("p", intro), *rows]))


def patch_geometry(run: Path, section: Section) -> tuple[int, float]:
    """Return patch size (px) and resolution (um/px): those of the features, else a field of 4 mm as the image is."""
    for path in sorted((run / "features").glob("[!.]*/*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("size_px") and record.get("um_per_px"):
            return int(record["size_px"]), float(record["um_per_px"])
    um_per_px = max(section.um_per_px, DEFAULT_FIELD_MM * 1000 / MAX_SHOWN_PX)
    return round(DEFAULT_FIELD_MM * 1000 / um_per_px), um_per_px


def _usable(graph: CortexGraph, sections: dict[tuple[str, int], Section]) -> NDArray[np.bool_]:
    known = [index for brain, index in sections if brain == graph.brain]
    return graph.is_linked & np.isin(graph.section, known)


def _area_groups(
    graphs: Sequence[CortexGraph], usable: dict[str, NDArray[np.bool_]]
) -> list[tuple[Html, list[PatchRequest]]]:
    if not graphs:
        return []
    labels = graphs[0].labels
    owner = np.concatenate([np.full(int(usable[graph.name].sum()), i) for i, graph in enumerate(graphs)])
    nodes = np.concatenate([np.flatnonzero(usable[graph.name]) for graph in graphs])
    areas = np.concatenate([graph.annotation[usable[graph.name]] for graph in graphs])
    found, counts = np.unique(areas[areas > 0], return_counts=True)
    random = generator(0, "report", "patches")

    def requests(rows: NDArray[np.int64]) -> list[PatchRequest]:
        return [PatchRequest(graphs[owner[row]], int(nodes[row]), "") for row in rows]

    if not found.size:
        return [(tag("h3", "Linked nodes"), requests(random.permutation(len(nodes))[:N_EXTREME]))]
    groups = []
    for area in sorted(found[np.argsort(-counts, kind="stable")][:N_AREAS]):
        rows = random.permutation(np.flatnonzero(areas == area))
        # one of each graph first, so that individual differences are seen
        turn = np.zeros(len(rows), int)
        for graph_number in np.unique(owner[rows]):
            turn[owner[rows] == graph_number] = np.arange((owner[rows] == graph_number).sum())
        chosen = rows[np.argsort(turn, kind="stable")][:PATCHES_PER_AREA]
        colour = css_colour(labels.colours[labels.columns(area)])
        title = tag("h3", swatch(colour), labels.name(int(area)))
        groups.append((title, requests(chosen)))
    return groups


def _confidence_groups(
    run: Path, graphs: Sequence[CortexGraph], usable: dict[str, NDArray[np.bool_]]
) -> list[tuple[Html, list[PatchRequest]]]:
    groups = []
    for folder in finished_folders(run, "classify"):
        scored: list[tuple[float, PatchRequest]] = []
        for graph in graphs:
            label_file, confidence_file = (
                folder / f"{graph.name}.label.gii",
                folder / f"{graph.name}_confidence.func.gii",
            )
            if not (label_file.is_file() and confidence_file.is_file()):
                continue
            predicted, table = read_labels(label_file)
            confidence = next(iter(read_scalars(confidence_file).values()))
            # training sections would show what the model has learned by heart
            candidates = usable[graph.name] & (predicted > 0) & np.isfinite(confidence) & (graph.annotation > 0)
            candidates &= (graph.section_role != "train") | (graph.brain_role != "train")
            for node in np.flatnonzero(candidates):
                truth = graph.labels.name(int(graph.annotation[node]))
                guess = table.name(int(predicted[node]))
                note = f"{guess} (right)" if guess == truth else f"{guess}, annotated {truth}"
                scored.append(
                    (float(confidence[node]), PatchRequest(graph, int(node), f"{confidence[node]:.2f}: {note}"))
                )
        scored.sort(key=lambda item: item[0])
        if len(scored) >= 2 * N_EXTREME:
            groups.append(
                (
                    tag("h3", f"Most confident outside the training sections, model '{folder.name}'"),
                    [request for _, request in scored[: -N_EXTREME - 1 : -1]],
                )
            )
            groups.append(
                (
                    tag("h3", f"Least confident outside the training sections, model '{folder.name}'"),
                    [request for _, request in scored[:N_EXTREME]],
                )
            )
    return groups


def _read(
    requests: Sequence[PatchRequest], sections: dict[tuple[str, int], Section], size_px: int, um_per_px: float
) -> dict[tuple[str, int], NDArray[np.uint8]]:
    by_section: dict[tuple[str, int], list[PatchRequest]] = {}
    for request in requests:
        by_section.setdefault((request.graph.brain, int(request.graph.section[request.node])), []).append(request)
    pictures = {}
    for key, wanted in by_section.items():
        section = sections[key]
        if section.image is None:
            continue
        pixels = np.array(
            [[request.graph.nodes[name][request.node] for name in ("column_px", "row_px")] for request in wanted]
        )
        angles = np.array([request.graph.nodes["angle_deg"][request.node] for request in wanted])
        shown_px = min(size_px, MAX_SHOWN_PX)
        try:
            with open_section(section) as pyramid:
                patches = read_patches(
                    pyramid, section.um_per_px, pixels, angles, shown_px, um_per_px * size_px / shown_px
                )
        except CytomeshError as error:
            log(f"patches left out of the report: {error}")
            continue
        for request, patch in zip(wanted, patches, strict=True):
            pictures[request.graph.name, request.node] = displayable(patch.transpose(1, 2, 0))
    return pictures


def _figure(request: PatchRequest, picture: NDArray[np.uint8], bar_mm: float, um_per_px: float, size_px: int) -> Html:
    graph, node = request.graph, request.node
    bar = bar_mm * 1000 / um_per_px * 100 / size_px
    drawing = tag(
        "svg",
        tag("image", href=data_uri(picture), width=100, height=100),
        scale_bar(95, 94, bar, f"{bar_mm:g} mm", 8),
        viewBox="0 0 100 100",
        role="img",
        aria_label=f"patch at node {node} of {graph.name}",
    )
    oblique = float(graph.nodes["obliqueness_deg"][node])
    facts = f"{graph.name}, section {int(graph.section[node])}, {oblique:.0f} deg oblique"
    caption = [tag("strong", request.note), tag("br")] if request.note else []
    return tag("figure", drawing, tag("figcaption", *caption, facts))
