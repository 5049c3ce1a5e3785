"""The figures of the stages, from a finished demo: `python -m docs.figures.draw RUN [NAME ...]`.

Written beside this file; the manual shows them as they are, so that it builds without a run.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

import cytomesh
from cytomesh.report.views import draw_view, label_colours, number_colours
from cytomesh.study.contours import read_contours
from cytomesh.surface.gifti import read_surface

HERE = Path(__file__).parent
FEATURES = "spatialnce"
SERIES = {"spatialnce": ("SpatialNCE", "#1f77b4", "o-"), "profiles": ("profiles", "#d95f02", "s--")}
SERIES["untrained"] = ("untrained", "#7f7f7f", "^:")


def paint_labels(panel: Any, mesh: cytomesh.Mesh, labels: np.ndarray, table: cytomesh.LabelTable, title: str) -> None:
    """Draw labels on a left hemisphere, from its lateral side."""
    draw_view(panel, mesh, label_colours(mesh, labels, table), "lateral", "L")
    panel.set_title(title, fontsize=10)


def paint_numbers(
    panel: Any,
    mesh: cytomesh.Mesh,
    values: np.ndarray,
    palette: str,
    limits: tuple[float, float],
    title: str,
    label: str = "",
) -> None:
    """Draw numbers on a left hemisphere, from its lateral side; with a scale, if it has a label."""
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(*limits), palette)
    draw_view(panel, mesh, number_colours(mesh, values, scale), "lateral", "L")
    panel.set_title(title, fontsize=10)
    if label:
        plt.colorbar(scale, ax=panel, shrink=0.6, label=label)


def graph_of(run: Path, brain: str) -> cytomesh.CortexGraph:
    """Return the graph of a brain."""
    return next(graph for graph in cytomesh.load_graphs(run) if graph.brain == brain)


def draw_rings(axes: Any, contours: Any) -> None:
    """Draw pial and white rings of a section."""
    for shape, colour in ((contours.pial, "#d95f02"), (contours.white, "#1b9e77")):
        for polygon in shape.geoms:
            for ring in (polygon.exterior, *polygon.interiors):
                axes.plot(*np.array(ring.coords).T, color=colour, linewidth=1.2)


def surfaces(run: Path) -> Any:
    """Draw a section with its rings and nodes, and the midthickness surface."""
    study, graph = cytomesh.open_run_study(run), graph_of(run, "B01")
    counts = np.bincount(graph.section[graph.is_linked])
    number = int(counts.argmax())
    section = next(s for brain in study.brains if brain.id == "B01" for s in brain.sections if s.index == number)
    here = graph.is_linked & (graph.section == number)
    places = graph.nodes.stack(["column_px", "row_px"])[here]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
    with cytomesh.open_section(section) as image:
        pixels = image.read(0, 0, image.shape[0], 0, image.shape[1])[..., 0]
    corner = places[np.argmin(places[:, 1])]
    for axes, title in ((left, f"section {number}: pial and white"), (middle, "detail: nodes linked to it")):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        draw_rings(axes, read_contours(section)["L"])
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    middle.plot(*places.T, "o", color="#e41a1c", markeredgecolor="white", markersize=5)
    middle.set_xlim(corner[0] - 220, corner[0] + 220)
    middle.set_ylim(corner[1] + 400, corner[1] - 40)
    step = 10 / section.um_per_px * 1000
    left.plot([40, 40 + step], [pixels.shape[0] - 40] * 2, color="black", linewidth=3)
    left.text(40, pixels.shape[0] - 70, "10 mm", fontsize=8)
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(1.5, 4), "viridis")
    colours = number_colours(graph.mesh, graph.nodes["thickness_mm"], scale)
    colours[here[graph.mesh.faces].any(axis=1)] = (0.85, 0.1, 0.1, 1)
    draw_view(right, graph.mesh, colours, "lateral", "L")
    plt.colorbar(scale, ax=right, shrink=0.6, label="thickness (mm)")
    right.set_title("midthickness; red: nodes of this section", fontsize=10)
    return figure


def patch(run: Path) -> Any:
    """Draw one node's patch at three pixel sizes."""
    study, graph = cytomesh.open_run_study(run), graph_of(run, "B01")
    oblique = np.where(graph.is_linked, graph.nodes["obliqueness_deg"], 90)
    node = int(
        np.argmin(
            oblique
            + 50 * np.abs(np.nan_to_num(graph.nodes["thickness_mm"]) - 3)
            + 1e3 * (graph.nodes["sulcal_depth_mm"] > 2)
        )
    )
    sections = next(brain.sections for brain in study.brains if brain.id == "B01")
    section = next(s for s in sections if s.index == graph.section[node])
    place = graph.nodes.stack(["column_px", "row_px"])[[node]]
    figure, panels = plt.subplots(1, 3, figsize=(7.5, 2.9), layout="constrained")
    with cytomesh.open_section(section) as image:
        glass = int(np.median(image.read(0, 0, 10, 0, 10)))
        for axes, um_per_px in zip(panels, (62.5, 125.0, 250.0), strict=True):
            angle = graph.nodes["angle_deg"][[node]]
            pixels = cytomesh.read_patches(image, section.um_per_px, place, angle, 96, um_per_px, background=glass)
            axes.imshow(pixels[0, 0], cmap="gray", vmin=0, vmax=255)
            axes.set_title(f"{um_per_px:g} µm/px, {96 * um_per_px / 1000:g} mm", fontsize=10)
            axes.axis("off")
    return figure


def register(run: Path) -> Any:
    """Draw sulcal depth on three surfaces."""
    graph = graph_of(run, "B01")
    folder = run / "register" / "folding" / graph.name
    figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    depth = graph.nodes["sulcal_depth_mm"]
    shown = ("midthickness", graph.mesh, ""), ("inflated", None, ""), ("sphere.reg", None, "sulcal depth (mm)")
    for axes, (name, mesh, label) in zip(panels, shown, strict=True):
        mesh = mesh or read_surface(folder / f"{name}.surf.gii")
        paint_numbers(axes, mesh, depth, "cividis", (0, 15), name, label)
    return figure


def pretrain(run: Path) -> Any:
    """Draw patches and the loss."""
    study, graph = cytomesh.open_run_study(run), graph_of(run, "B01")
    lines = [json.loads(line) for line in (run / "encoders" / FEATURES / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    figure = plt.figure(figsize=(9, 3), layout="constrained")
    parts = figure.subfigures(1, 2, width_ratios=(3, 2))
    panels = parts[0].subplots(2, 6)
    sections = {s.index: s for brain in study.brains if brain.id == "B01" for s in brain.sections}
    linked = np.flatnonzero(graph.is_linked)
    nodes = linked[np.linspace(0, len(linked) - 1, panels.size).astype(int)]
    for axes, node in zip(panels.flat, nodes, strict=True):
        section = sections[int(graph.section[node])]
        place, angle = graph.nodes.stack(["column_px", "row_px"])[[node]], graph.nodes["angle_deg"][[node]]
        with cytomesh.open_section(section) as image:
            pixels = cytomesh.read_patches(image, section.um_per_px, place, angle, 64, 62.5)
        axes.imshow(pixels[0, 0], cmap="gray", vmin=0, vmax=255)
        axes.axis("off")
    parts[0].suptitle("patches of 4 mm", fontsize=10)
    axes = parts[1].subplots()
    axes.plot([line["step"] for line in lines], [line["loss"] for line in lines], "o-", markersize=3)
    axes.set(xlabel="step", ylabel="loss")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def classify(run: Path) -> Any:
    """Draw annotation, prediction and confidence of a brain that was not trained on."""
    graph = graph_of(run, "B04")
    table = pq.read_table(run / "classify" / "gat" / "predictions" / f"{graph.name}.parquet")
    area, confidence = (table[name].to_numpy() for name in ("area", "confidence"))
    mesh = read_surface(run / "register" / "folding" / graph.name / "inflated.surf.gii")
    figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    paint_labels(panels[0], mesh, graph.annotation, graph.labels, "annotation")
    paint_labels(panels[1], mesh, np.where(graph.is_linked, area, 0), graph.labels, "prediction (GAT)")
    known = np.where(graph.is_linked, confidence, np.nan)
    paint_numbers(panels[2], mesh, known, "viridis", (0, 1), "confidence", "confidence")
    return figure


def parcellate(run: Path) -> Any:
    """Draw parcels and their confidence."""
    graph = graph_of(run, "B01")
    table = pq.read_table(run / "parcellate" / "parcels" / f"{graph.name}.parquet")
    parcel, confidence = (table[name].to_numpy() for name in ("parcel", "confidence"))
    mesh = read_surface(run / "register" / "folding" / graph.name / "inflated.surf.gii")
    names = cytomesh.LabelTable.from_names([f"parcel {i}" for i in range(1, int(parcel.max()) + 1)])
    figure, panels = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    paint_labels(panels[0], mesh, parcel, names, f"{int(parcel.max())} parcels")
    title = "how much comes back from half of the sections"
    paint_numbers(panels[1], mesh, confidence, "viridis", (0, 1), title, "confidence")
    return figure


def layers(run: Path) -> Any:
    """Draw the outlines of layers in a strip of cortex."""
    path = sorted((run / "analyze" / "layers" / "contours").glob("B03_*.geojson"))[2]
    brain, _, number = path.stem.partition("_section-")
    study = cytomesh.open_run_study(run)
    section = next(s for b in study.brains if b.id == brain for s in b.sections if s.index == int(number))
    features = json.loads(path.read_text())["features"]
    with cytomesh.open_section(section) as image:
        pixels = image.read(0, 0, image.shape[0], 0, image.shape[1])[..., 0]
    rings = [(f["properties"]["classification"]["name"], np.array(f["geometry"]["coordinates"][0])) for f in features]
    names = sorted({name for name, _ in rings})
    colours = dict(zip(names, mpl.colormaps["viridis"](np.linspace(0, 1, len(names))), strict=True))
    widest = max(rings, key=lambda ring: len(ring[1]))[1]
    centre = widest[len(widest) // 3] - 0.5
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    for axes, title in zip(panels, ("section", "layers"), strict=True):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        axes.set_xlim(centre[0] - 110, centre[0] + 110)
        axes.set_ylim(centre[1] + 90, centre[1] - 90)
        axes.set_title(title, fontsize=10)
        axes.axis("off")
    for name, ring in rings:
        panels[1].fill(*(ring - 0.5).T, color=colours[name], alpha=0.75, linewidth=0)
    marks = [mpl.patches.Patch(color=colours[name], label=name) for name in names]
    panels[1].legend(handles=marks, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    return figure


def variation(run: Path) -> Any:
    """Draw R2 against the number of components."""
    table = pq.read_table(run / "analyze" / "variation" / "r2.parquet").to_pandas()
    means = table.groupby(["features", "target", "components"])["r2"].mean()
    wanted = [
        name
        for name in ("thickness_mm", "curvature_per_mm", "ref_y_mm", "obliqueness_deg")
        if name in means.index.levels[1]
    ]
    figure, panels = plt.subplots(1, len(wanted), figsize=(2.5 * len(wanted), 2.8), layout="constrained", sharey=True)
    for axes, target in zip(panels, wanted, strict=True):
        for features, (title, colour, pen) in SERIES.items():
            values = means[features][target]
            axes.plot(values.index, values.clip(lower=-0.1), pen, color=colour, label=title, markersize=4)
        axes.set(title=target, xlabel="components", xscale="log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.axhline(0, color="#bbb", linewidth=0.8)
    panels[0].set_ylabel("R² on cortex left out")
    panels[-1].legend(frameon=False, fontsize=8)
    return figure


def inspect(run: Path) -> Any:
    """Draw the map of features."""
    table = pq.read_table(run / "analyze" / "inspect" / "map.parquet").to_pandas()
    named = table[table["area"] != "none"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    numbers = named["area"].astype("category").cat.codes
    left.scatter(table["x"], table["y"], s=2, color="#dddddd")
    left.scatter(named["x"], named["y"], s=2, c=numbers, cmap="gist_ncar")
    left.set_title(f"{numbers.max() + 1} areas; grey: no annotation", fontsize=10)
    shown = right.scatter(table["x"], table["y"], s=2, c=table["ref_y_mm"], cmap="viridis")
    figure.colorbar(shown, ax=right, label="position, posterior to anterior (mm)")
    right.set_title("position", fontsize=10)
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


FIGURES: dict[str, Callable[[Path], Any]] = {
    draw.__name__: draw
    for draw in (surfaces, patch, register, pretrain, classify, parcellate, layers, variation, inspect)
}


def main(run: Path, names: list[str]) -> None:
    """Write the figures as small PNG files."""
    mpl.use("Agg")
    for name in names or FIGURES:
        drawn = io.BytesIO()
        FIGURES[name](run).savefig(drawn, dpi=110)
        plt.close("all")
        image = Image.open(drawn).convert("RGB")
        image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            HERE / f"{name}.png", optimize=True
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
