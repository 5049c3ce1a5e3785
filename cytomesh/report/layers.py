"""Cortical layers: scores of the runs of `cytomesh segment-layers`, and a piece of cortex as drawn and as found."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.classes import LAYERS, TABLE
from cytomesh.analyze.layers.output import PREDICTED, TRUE, labels_path, section_stem
from cytomesh.analyze.layers.tally import SIDES
from cytomesh.core.errors import CytomeshError
from cytomesh.core.progress import log
from cytomesh.imaging.normalise import open_run_study
from cytomesh.imaging.pictures import placed_image, section_drawing
from cytomesh.imaging.pyramid import open_image, open_section
from cytomesh.page.colours import css_colour
from cytomesh.page.html import Column, Html, Number, Part, Row, bullets, choice, join, not_shown, swatch, table, tag
from cytomesh.page.html import without_empty as filled
from cytomesh.report.results import damage_notes, read_analyses
from cytomesh.study.sections import Section

TITLE = "Cortical layers"
WORDS = {
    "validation": "validation sections",
    "seen": "seen: other sections of training brains",
    "transfer": "transfer: a brain with images only",
    "unseen": "unseen: a new brain",
    "test": "test",
}
BOX_MM = 16.0
IMAGE_PX = 700
Box = tuple[int, int, int, int]


def layers_part(run: Path) -> Part:
    """Build the part with every such analysis of the run."""
    found = read_analyses(run, "layers", _checked)
    body = damage_notes(run, "analyze", found, "layers")
    for name, metrics in found.items():
        body += [tag("h3", name), _scores(metrics), _by_layer(metrics), _pictures(run, name, metrics)]
        body += [bullets(metrics["notes"])] if metrics["notes"] else []
    return Part("layers", TITLE, join(body), is_absent=not found)


def _checked(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = {"f1": 6, "jaccard": 6, "boundary_um": 5, "hausdorff95_um": 5}
    for method, sides in record["methods"].items():
        for side, scores in sides.items():
            is_whole = all(len(scores[key]) == n for key, n in wanted.items()) and side in SIDES
            if not is_whole or len(scores["thickness"]["error_mm"]) != len(LAYERS):
                raise KeyError(f"{name}: incomplete scores of {method}, {side}")
    shown = {str(side): (str(brain), int(index)) for side, (brain, index) in record["shown"].items()}
    return {**record, "shown": shown, "notes": [str(note) for note in record["notes"]]}


def _scores(metrics: Mapping[str, Any]) -> Html:
    rows: list[Row] = []
    for side in SIDES:
        for method, sides in metrics["methods"].items():
            if side not in sides:
                continue
            own = sides[side]
            means = [float(np.mean(_numbers(own[key]))) for key in ("boundary_um", "hausdorff95_um")]
            thickness = 1000 * float(np.mean(_numbers(own["thickness"]["error_mm"])))
            jaccard = float(np.nanmean(_numbers(own["jaccard"])))
            overlaps = [own["macro_f1"], own.get("macro_f1_sd"), jaccard, own.get("macro_f1_unordered")]
            rows.append([method, side, own["n_sections"], *overlaps, *means, thickness])
    columns: list[Column] = ["layers from", "side", Number("sections", form="d")]
    columns += [Number("macro-F1"), Number("SD over sections"), Number("Jaccard"), Number("F1 without order")]
    columns += [Number(title, "µm", ".0f") for title in ("boundary error", "Hausdorff 95 %", "error of thickness")]
    caption = (
        "Six layers in the cortex between the contours, in order along depth. Boundary error: mean distance within a "
        "column, over the five boundaries. Hausdorff 95 %: the 95th percentile of distances between true "
        "and found boundary within a section. Error of thickness: mean over nodes and layers. Profiles: linear "
        "discriminants of the intensity profile. Depth alone: the usual share of each layer, without any image. "
        f"{_trust(metrics)}"
    )
    return table(*filled(columns, rows), caption=caption, sortable=True)


def _trust(metrics: Mapping[str, Any]) -> str:
    named = ", ".join(f"{name} {float(value):g}" for name, value in metrics["trust"].items())
    return (
        f"Encoders: a decoder together with profiles; exponents by which validation sections trust decoders: {named}."
    )


def _by_layer(metrics: Mapping[str, Any]) -> Html:
    rows: list[Row] = [
        [method, side, *_numbers(sides[side]["f1"])]
        for side in SIDES
        for method, sides in metrics["methods"].items()
        if side in sides
    ]
    columns: list[Column] = ["layers from", "side", *(Number(f"F1 of {layer}") for layer in LAYERS)]
    return table(
        columns, rows, caption="F1 (Dice) of each layer over all pixels of each side of the split.", sortable=True
    )


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def _pictures(run: Path, name: str, metrics: Mapping[str, Any]) -> Html:
    """Return a piece of a section of each side: image, drawn layers, found layers."""
    panels = []
    try:
        study = open_run_study(run)
        for side in SIDES:
            if side in metrics["shown"]:
                brain, index = metrics["shown"][side]
                figure = _figure(run / "analyze" / name, study.brain(brain).section(index))
                panels.append((WORDS[side], figure))
    except CytomeshError as error:
        log(f"report without pictures of layers: {error}")
        return not_shown("Pictures are not shown: the study of this run or its masks cannot be opened.")
    legend = [
        tag("span", swatch(css_colour(rgba)), text, "  ") for text, rgba in zip(TABLE.names, TABLE.colours, strict=True)
    ]
    intro = tag("p", f"Found by {metrics['encoders'][0]}, at {metrics['um_per_px']:g} µm/px: ", *legend)
    return join([intro, choice("Side of the split", panels)]) if panels else Html("")


def _figure(folder: Path, section: Section) -> Html:
    labels = {}
    path = labels_path(folder, section_stem(section.brain, section.index))
    for kind in (TRUE, PREDICTED):
        with open_image(path / "labels" / kind) as pyramid:
            height, width = pyramid.shape
            labels[kind] = pyramid.read(0, 0, height, 0, width)[..., 0]
            scale = (pyramid.um_per_px or section.um_per_px) / section.um_per_px
    with open_section(section) as image:
        box = _box(labels[TRUE], scale, BOX_MM * 1000 / section.um_per_px, image.shape)
        below = placed_image(image, box, IMAGE_PX)
    size = 0.04 * (box[3] - box[2])
    where = f"section {section.index} of brain {section.brain}"
    titles = {"": "image", TRUE: "drawn", PREDICTED: "found"}
    figures = []
    for kind, title in titles.items():
        layers = [below] if not kind else [below, _coloured(labels[kind], box, scale)]
        drawing = section_drawing(section, box, layers, size, f"{where}: {title}")
        figures.append(tag("figure", drawing, tag("figcaption", tag("strong", title), f"; {where}")))
    return tag("div", *figures, class_="slices")


def _box(truth: NDArray[np.uint8], scale: float, side_px: float, shape: tuple[int, int]) -> Box:
    """Return a square of the image, (row0, row1, col0, col1), about the middle one of the pixels with a layer."""
    rows, columns = np.nonzero((truth > 0) & (truth <= len(LAYERS)))
    middle = len(rows) // 2
    centre = (rows[middle] * scale, columns[middle] * scale) if len(rows) else (shape[0] / 2, shape[1] / 2)
    side = int(min(side_px, *shape))
    row0, col0 = (int(np.clip(c - side / 2, 0, n - side)) for c, n in zip(centre, shape, strict=True))
    return row0, row0 + side, col0, col0 + side


def _coloured(labels: NDArray[np.uint8], box: Box, scale: float) -> Html:
    """Return labels in their colours, see-through where there is none, as part of an SVG in the image's pixels."""
    import imagecodecs

    row0, row1, col0, col1 = (round(edge / scale) for edge in box)
    part = labels[row0:row1, col0:col1]
    colours = np.concatenate([np.zeros((1, 4)), TABLE.colours])
    encoded = imagecodecs.png_encode(np.rint(255 * colours[part]).astype(np.uint8))
    href = "data:image/png;base64," + base64.b64encode(encoded).decode()
    place = {"x": col0 * scale - 0.5, "y": row0 * scale - 0.5}
    place |= {"width": part.shape[1] * scale, "height": part.shape[0] * scale}
    return tag("image", href=href, preserveAspectRatio="none", style="image-rendering:pixelated", **place)
