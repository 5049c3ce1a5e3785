"""What features look like: a part of the report, and `RUN/analyze/NAME/inspect.html` with all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cytomesh.core.errors import MissingStageError
from cytomesh.core.files import read_object, write_text
from cytomesh.core.reading import reading
from cytomesh.page.charts import chart_scripts
from cytomesh.page.document import page
from cytomesh.page.html import (
    Column,
    Html,
    Number,
    Part,
    Row,
    bullets,
    join,
    missing,
    not_shown,
    table,
    tag,
    without_empty,
)
from cytomesh.report.examples import neighbour_pictures, saliency_pictures
from cytomesh.report.latent_charts import map_charts, similarity_charts
from cytomesh.report.results import check_inspection, damage_notes, read_inspections

TITLE = "Feature space"
IN_REPORT = 2
"""Colourings of the map that the report shows; the page has all."""
TOO_FEW = "Fewer than two areas are annotated: there is nothing to compare."


def inspect_part(run: Path) -> Part:
    """Build the part with every such analysis of the run: separation, map and similarity matrix."""
    found = read_inspections(run)
    body: list[Html | str] = [*damage_notes(run, "analyze", found, "inspect")]
    for name, metrics in found.items():
        folder = run / "analyze" / name
        more = f"All colourings, neighbours across brains and what the encoder looks at: analyze/{name}/inspect.html."
        body += [tag("h3", f"{name}: features {metrics['features']}"), _separation(metrics), _correspondence(metrics)]
        body += [map_charts(folder, metrics["map"], metrics["n_nodes"], IN_REPORT)]
        body += [similarity_charts(folder, metrics["similarity"], ("mean",)) if metrics["similarity"] else ""]
        body += [tag("p", more, class_="soft")]
        body += [bullets(metrics["notes"])] if metrics["notes"] else []
    return Part("inspect", TITLE, join(body), is_absent=not found)


def inspect_page(run: Path, name: str) -> Path:
    """Write the page of one analysis, self-contained and whole or not at all; returns its path.

    Raises
    ------
    MissingStageError
        If this analysis is not finished.
    DamagedError
        If its files are damaged.
    """
    folder = run / "analyze" / name
    path = folder / "metrics.json"
    if not path.is_file():
        hint = f"run 'cytomesh inspect --out {run} --name {name}'"
        raise MissingStageError(folder, found="no finished analysis", hint=hint)
    with reading(path):
        metrics = check_inspection(name, read_object(path))
    similarity, looks = metrics["similarity"], metrics["saliency"]
    parts = [
        Part("separation", "Brains and areas", join([_separation(metrics), _correspondence(metrics)])),
        Part("map", "Map of the feature space", map_charts(folder, metrics["map"], metrics["n_nodes"])),
        Part(
            "similarity",
            "Similarity of areas",
            similarity_charts(folder, similarity) if similarity else not_shown(TOO_FEW),
        ),
        _neighbours(folder, looks),
        _looks(folder, looks),
    ]
    facts = f"Features {metrics['features']} of {metrics['n_nodes']:,} linked nodes"
    facts += ", the mean over all nodes subtracted." if metrics["centred"] else "."
    head = [tag("h1", f"Feature space: {name}"), tag("p", facts, class_="soft")]
    head += [bullets(metrics["notes"])] if metrics["notes"] else []
    target = folder / "inspect.html"
    write_text(target, page(f"Feature space: {name}", join(head), parts, chart_scripts()))
    return target


def _separation(metrics: Mapping[str, Any]) -> Html:
    rows: list[Row] = []
    for what, scores in metrics["separation"].items():
        nulls = [scores.get(f"{score}_null", {}) for score in ("silhouette", "accuracy")]
        spreads = [f"{null['mean']:.3f} ± {null['sd']:.3f}, p = {null['p']:.2g}" if null else None for null in nulls]
        own = [scores["silhouette"], spreads[0], scores["accuracy"], scores["chance"], spreads[1]]
        rows.append([f"{what}s", scores["n_groups"], scores["n_nodes"], *own])
    columns: list[Column] = ["groups", Number("number", form="d"), Number("nodes", form=",d"), Number("silhouette")]
    columns += ["rotated areas", Number("probe"), Number("chance"), "probe of rotated areas"]
    caption = (
        "How far groups lie apart. Silhouette by cosine distance, mean over nodes: 1 far apart, 0 on top of each "
        "other, below 0 nearer to another group than to its own. Probe: balanced accuracy of a linear classifier on "
        "cortex that it has not seen; chance is 1 / groups. Good features separate areas, and not brains."
    )
    return table(*without_empty(columns, rows), caption=caption)


def _correspondence(metrics: Mapping[str, Any]) -> Html:
    found = metrics["correspondence"]
    if not found:
        return Html("")
    rows: list[Row] = [["median distance in reference space, mm", found["distance_mm"], found["distance_chance_mm"]]]
    if found["same_area"] is not None:
        rows.append(["share in the same area", found["same_area"], found["same_area_chance"]])
    caption = (
        f"The most similar node in each other brain, over {found['n_pairs']:,} pairs, beside a node drawn at random."
    )
    columns: list[Column] = ["nearest across brains", Number("measured"), Number("at random")]
    return table(columns, rows, caption=caption)


def _neighbours(folder: Path, looks: Mapping[str, Any] | None) -> Part:
    title = "Nearest nodes of other brains"
    if not looks:
        return missing("neighbours", title, "There are no patches of this run to show.")
    words = (
        "Each row begins with a node drawn at random from its area, and shows the most similar nodes (cosine) of each "
        "other brain: their area, similarity, and distance in reference space, hemispheres mirrored onto each other. "
        f"{_field(looks)}"
    )
    return Part("neighbours", title, join([tag("p", words), neighbour_pictures(folder, looks)]))


def _looks(folder: Path, looks: Mapping[str, Any] | None) -> Part:
    title = "What the encoder looks at"
    if not looks or not looks["method"]:
        return missing("saliency", title, "There is no encoder, or no attention map, for these features.")
    what = (
        f"Attention of the {looks['query']}, by head. "
        if looks["query"]
        else "Grad-CAM: places of the feature map that add to the patch's own feature. "
    )
    words = (
        f"{what}Encoder: {looks['encoder']}. Colour: share of the maximum of each map, to the "
        f"power of {looks['gamma']:g}. {_field(looks)}"
    )
    return Part("saliency", title, join([tag("p", words), saliency_pictures(folder, looks)]))


def _field(looks: Mapping[str, Any]) -> str:
    size, pixel = looks["size_px"], looks["um_per_px"]
    return f"Pial side up; {size} x {size} px at {pixel:g} µm/px, a field of {size * pixel / 1000:.3g} mm."
