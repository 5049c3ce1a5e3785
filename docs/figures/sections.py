"""Figures of sections and what lies in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Patch, Polygon, Rectangle
from numpy.typing import NDArray
from PIL import Image

import cytomesh
from cytomesh.imaging.cut import cut_section
from cytomesh.phantom.slicing import cut
from cytomesh.report.views import axes_of, draw_view, number_colours
from cytomesh.study.contours import read_contours
from docs.figures.parts import (
    BLUE,
    GREY,
    LAYER_COLOURS,
    ORANGE,
    PINK,
    draw_bar,
    draw_rings,
    graph_of,
    label_picture,
    layer_legend,
    name_sides,
    open_axes,
    pixels_of,
    place_of,
    sections_of,
    show_section,
    typical_node,
    typical_section,
)

ROLES = {"train": (BLUE, "-"), "val": (PINK, "-"), "test": (ORANGE, "-"), "missing": (GREY, ":")}


def study(run: Path) -> Any:
    """Draw where sections lie, the rings of one, and its areas."""
    graph = graph_of(run, "B01")
    section = sections_of(run, "B01")[typical_section(graph)]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7.2, 3.3), layout="constrained", width_ratios=(2, 1, 1))
    _draw_planes(left, run, graph)
    left.set_title("to_world: planes of the sections")
    pixels = pixels_of(section)
    for axes, title in ((middle, "image, contours"), (right, "annotation")):
        show_section(axes, section, pixels)
        axes.set_title(title, pad=16)
    draw_rings(middle, read_contours(section)["L"])
    middle.legend(loc="lower center", bbox_to_anchor=(0.5, -0.28), ncols=2, frameon=False, columnspacing=1)
    labels = np.asarray(Image.open(section.annotation))
    extent = (-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5)
    right.imshow(label_picture(labels, graph.labels), extent=extent, interpolation="nearest")
    return figure


def _draw_planes(axes: Any, run: Path, graph: cytomesh.CortexGraph) -> None:
    """Draw the lines in which sections cut a hemisphere, as they are seen from its lateral side."""
    draw_view(axes, graph.mesh, np.tile((0.8, 0.8, 0.8), (len(graph.mesh.faces), 1)), "lateral", "L")
    flat, vertices = axes_of("lateral", "L")[:2].T, graph.mesh.vertices
    counts: dict[str, int] = {}
    for section in cytomesh.open_run_study(run).brain("B01").sections:
        kind = "missing" if section.status == "missing" else section.role
        rings = cut(vertices, graph.mesh.faces, section.plane.distance(vertices))
        colour, pen = ROLES[kind]
        for ring in rings:
            axes.plot(*(ring @ flat).T, pen, color=colour, linewidth=1.1)
        counts[kind] = counts.get(kind, 0) + bool(rings)
    marks = [
        plt.Line2D([], [], color=ROLES[kind][0], ls=ROLES[kind][1], label=f"{kind} ({counts[kind]})")
        for kind in ROLES
        if kind in counts
    ]
    axes.legend(
        handles=marks,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=4,
        frameon=False,
        columnspacing=1,
        handlelength=1.2,
    )


def surfaces(run: Path) -> Any:
    """Draw a section with its rings and nodes, and the midthickness surface."""
    graph = graph_of(run, "B01")
    number = typical_section(graph)
    section = sections_of(run, "B01")[number]
    here = graph.is_linked & (graph.section == number)
    places = graph.nodes.stack(["column_px", "row_px"])[here]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(7.2, 3.2), layout="constrained")
    pixels = pixels_of(section)
    corner = places[np.argmin(places[:, 1])]
    show_section(left, section, pixels)
    left.set_title(f"section {number}", pad=16)
    draw_rings(left, read_contours(section)["L"])
    middle.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    draw_rings(middle, read_contours(section)["L"])
    middle.plot(*places.T, "o", color="#e41a1c", markeredgecolor="white", markersize=5, label="nodes")
    middle.set(xlim=(corner[0] - 220, corner[0] + 220), ylim=(corner[1] + 400, corner[1] - 40))
    middle.axis("off")
    draw_bar(middle, 5, 5000 / section.um_per_px)
    middle.legend(loc="lower left", fontsize="small")
    middle.set_title("detail: nodes linked to it", pad=16)
    scale = ScalarMappable(Normalize(1.5, 4), "viridis")
    colours = number_colours(graph.mesh, graph.nodes["thickness_mm"], scale)
    colours[here[graph.mesh.faces].any(axis=1)] = (0.85, 0.1, 0.1, 1)
    draw_view(right, graph.mesh, colours, "lateral", "L")
    plt.colorbar(scale, ax=right, shrink=0.6, label="thickness (mm)")
    right.set_title("midthickness;\nred: nodes of this section")
    return figure


def patch(run: Path) -> Any:
    """Draw one node's patch at three pixel sizes."""
    graph = graph_of(run, "B01")
    node = typical_node(graph)
    section = sections_of(run, "B01")[int(graph.section[node])]
    figure, panels = plt.subplots(1, 3, figsize=(7.2, 2.9), layout="constrained")
    with cytomesh.open_section(section) as image:
        glass = int(np.median(image.read(0, 0, 10, 0, 10)))
        for axes, um_per_px in zip(panels, (62.5, 125.0, 250.0), strict=True):
            pixels = cytomesh.read_patches(
                image, section.um_per_px, *place_of(graph, node), 96, um_per_px, background=glass
            )
            axes.imshow(pixels[0, 0], cmap="gray", vmin=0, vmax=255)
            axes.set_title(f"{um_per_px:g} µm/px, {96 * um_per_px / 1000:g} mm")
            axes.axis("off")
            axes.text(47.5, 2, "pial", ha="center", va="top")
    return figure


def images(run: Path) -> Any:
    """Draw the levels of an image, and two cut-outs: a box, and the patch of a node."""
    graph = graph_of(run, "B01")
    section = sections_of(run, "B01")[typical_section(graph)]
    nodes = graph.nodes
    fits = (
        graph.is_linked
        & (graph.section == section.index)
        & (nodes["obliqueness_deg"] < 15)
        & (nodes["thickness_mm"] > 2.5)
    )
    node = int(np.argmin(np.where(fits, np.abs(nodes["angle_deg"] % 90 - 45), np.inf)))  # a box cuts it askew
    place, angle = place_of(graph, node)
    size = 96  # px of a cut-out at the full resolution
    column, row = np.round(place[0]).astype(int) - size // 2
    figure = plt.figure(figsize=(7.2, 4.2), layout="constrained")
    panels = figure.subplot_mosaic("lm;lr", width_ratios=(2.3, 1))
    left = panels["l"]
    with cytomesh.open_section(section) as image:
        _draw_levels(left, image, section)
        patch_pixels = cytomesh.read_patches(image, section.um_per_px, place, angle, size, section.um_per_px)[0, 0]
    box, _ = cut_section(section, (int(column), int(row), size, size))
    for axes, pixels, colour, title in (
        (panels["m"], box[..., 0], ORANGE, "cut by pixel box"),
        (panels["r"], patch_pixels, BLUE, "cut by node: pial side up"),
    ):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        draw_bar(axes, 2, 2000 / section.um_per_px)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=colour, linewidth=2.5)
        axes.set_title(title, color=colour)
    left.add_patch(Rectangle((column, row), size, size, fill=False, color=ORANGE, linewidth=1.8))
    up = np.array([np.cos(np.radians(angle[0])), -np.sin(np.radians(angle[0]))])  # rows count downwards
    across = np.array([-up[1], up[0]])
    corners = [place[0] + size / 2 * (a * across + b * up) for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    left.add_patch(Polygon(corners, fill=False, color=BLUE, linewidth=1.8))
    return figure


def _draw_levels(axes: Any, image: Any, section: Any) -> None:
    """Draw the levels of a pyramid beside each other, of one scale in pixels."""
    start, names = 0.0, []
    for level, (stored, scale) in enumerate(zip(image.levels[:4], image.level_scales, strict=False)):
        height, width = stored.shape
        pixels = image.read(level, 0, height, 0, width)[..., 0]
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(start, start + width, height, 0))
        names.append((start, height, f"{section.um_per_px * scale:g} µm/px\n{width} × {height} px"))
        start += max(width + 0.08 * image.shape[1], 0.62 * image.shape[1])
    axes.set(xlim=(0, start), ylim=(image.shape[0], 0))
    for left, height, name in names:
        axes.text(left, height + 0.02 * image.shape[0], name, va="top", fontsize="small")
    axes.axis("off")
    axes.set_title("levels of the pyramid")


def phantom(run: Path) -> Any:
    """Draw a section of each brain, and the truth of one."""
    figure, rows = plt.subplots(2, 4, figsize=(7.2, 5.6), layout="constrained")
    for axes, brain in zip(rows[0], ("B01", "B02", "B03", "B04"), strict=True):
        graph = graph_of(run, brain)
        section = sections_of(run, brain)[typical_section(graph)]
        show_section(axes, section, pixels_of(section))
        axes.set_title(f"{brain} ({graph.brain_role})", pad=16)
    graph = graph_of(run, "B01")
    section = sections_of(run, "B01")[typical_section(graph)]
    with np.load(run / f"phantom/truth/sub-B01/sections/sub-B01_sample-{section.index:04d}_truth.npz") as truth:
        area, layer, depth = (truth[name] for name in ("area", "layer", "depth"))
    inside = area > 0
    colours = np.zeros((*layer.shape, 4))
    for k, colour in enumerate(LAYER_COLOURS, start=1):
        colours[layer == k] = colour
    scale = ScalarMappable(Normalize(0, 1), "cividis")
    pictures = (
        label_picture(np.where(inside, area, 0), graph.labels),
        colours,
        scale.to_rgba(np.where(inside, depth, np.nan).astype(float)),
    )
    for axes, picture, title in zip(rows[1], pictures, ("areas", "layers", "depth"), strict=False):
        axes.imshow(picture, interpolation="nearest")
        name_sides(axes, section)
        axes.set_title(f"B01, truth: {title}", pad=16)
    rows[1, 3].axis("off")
    layer_legend(rows[1, 3], loc="center left")
    plt.colorbar(scale, ax=rows[1, 3], location="right", shrink=0.7, label="depth, 0 pial to 1 white")
    return figure


def layers(run: Path) -> Any:
    """Draw the outlines of layers in a strip of cortex."""
    path = sorted((run / "analyze" / "layers" / "contours").glob("B03_*.geojson"))[2]
    brain, _, number = path.stem.partition("_section-")
    section = sections_of(run, brain)[int(number)]
    features = json.loads(path.read_text())["features"]
    rings = [(f["properties"]["classification"]["name"], np.array(f["geometry"]["coordinates"][0])) for f in features]
    names = sorted({name for name, _ in rings})
    colours = dict(zip(names, [*LAYER_COLOURS, (0.85, 0.85, 0.85, 1)], strict=True))
    widest = max(rings, key=lambda ring: len(ring[1]))[1]
    centre = widest[len(widest) // 3] - 0.5
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained")
    for axes, title in zip(panels, ("section", "layers"), strict=True):
        axes.imshow(pixels_of(section), cmap="gray", vmin=0, vmax=255)
        axes.set(xlim=(centre[0] - 110, centre[0] + 110), ylim=(centre[1] + 90, centre[1] - 90), title=title)
        axes.axis("off")
        draw_bar(axes, 2, 2000 / section.um_per_px)
    for name, ring in rings:
        panels[1].fill(*(ring - 0.5).T, color=colours[name], linewidth=0)
    marks = [Patch(color=colours[name], label=name) for name in names]
    panels[1].legend(handles=marks, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
    return figure


def cells(run: Path) -> Any:
    """Draw cells of a strip of cortex, and what `cells` measures of them."""
    graph = graph_of(run, "B01")
    number = typical_section(graph)
    section = sections_of(run, "B01")[number]
    path = run / f"phantom/truth/sub-B01/sections/sub-B01_sample-{number:04d}_cells.parquet"
    found = pq.read_table(path, columns=["column_px", "row_px", "layer"]).to_pandas()
    (place,), (angle,) = place_of(graph, typical_node(graph, number))
    turned = _turned(found[["column_px", "row_px"]].to_numpy() - place, angle) * section.um_per_px / 1000
    near = (np.abs(turned) < (1.0, 1.9)).all(axis=1)
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(7.2, 3.3), layout="constrained", width_ratios=(1.5, 1, 1.9)
    )
    left.scatter(*turned[near].T, s=1.2, c=LAYER_COLOURS[found["layer"].to_numpy()[near] - 1], linewidths=0)
    left.set(xlim=(-1, 1), ylim=(-1.9, 1.9), xlabel="along the cortex (mm)", ylabel="towards pial (mm)", aspect="equal")
    left.set_title("cells, by layer")
    folder = run / "analyze" / "cells"
    profile = pq.read_table(folder / "profile.parquet").to_pandas().query("graph == @graph.name")
    middle.plot(profile["density_per_mm2"], profile["depth"], color=BLUE)
    middle.set(ylim=(1, 0), xlabel="cells per mm²", ylabel="depth, 0 pial to 1 white", title="density")
    middle.set_xlim(left=0)
    open_axes(middle)
    density = pq.read_table(folder / "nodes" / f"{graph.name}.parquet")["density_per_mm2"].to_numpy()
    scale = ScalarMappable(Normalize(*np.nanpercentile(density, (2, 98))), "cividis")
    draw_view(right, graph.mesh, number_colours(graph.mesh, density, scale), "lateral", "L")
    plt.colorbar(scale, ax=right, location="bottom", shrink=0.8, label="cells per mm²")
    right.set_title("density at the nodes")
    layer_legend(left, loc="upper left", bbox_to_anchor=(-0.4, -0.22), ncols=6, handlelength=1, columnspacing=1)
    return figure


def _turned(places: NDArray[np.float64], angle_deg: float) -> NDArray[np.float64]:
    """Return (n, 2) offsets in pixels as (along the cortex, towards pial)."""
    up = np.array([np.cos(np.radians(angle_deg)), -np.sin(np.radians(angle_deg))])  # rows count downwards
    return places @ np.stack([[-up[1], up[0]], up], axis=1)
