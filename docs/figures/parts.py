"""What the figures share: sections with letters and scale bars, hemispheres, colours that all can tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import cytomesh
from cytomesh.analyze.layers.classes import LAYERS
from cytomesh.report.views import LETTERS, draw_view, label_colours, number_colours
from cytomesh.study.sections import Section
from cytomesh.surface.gifti import read_surface

FEATURES = "spatialnce"
BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f"
"""Okabe and Ito's colours, and grey."""
SERIES = {"spatialnce": ("SpatialNCE", BLUE, "o-"), "profiles": ("profiles", ORANGE, "s--")}
SERIES["untrained"] = ("untrained", GREY, "^:")
LAYER_COLOURS = mpl.colormaps["viridis"](np.linspace(0, 1, len(LAYERS)))


def graph_of(run: Path, brain: str) -> cytomesh.CortexGraph:
    """Return the graph of a brain."""
    return next(graph for graph in cytomesh.load_graphs(run) if graph.brain == brain)


def inflated(run: Path, graph: cytomesh.CortexGraph) -> cytomesh.Mesh:
    """Return the inflated surface of a hemisphere."""
    return read_surface(run / "register" / "folding" / graph.name / "inflated.surf.gii")


def sections_of(run: Path, brain: str) -> dict[int, Section]:
    """Return the sections of a brain that have an image, by their numbers."""
    study = cytomesh.open_run_study(run)
    return {section.index: section for section in study.brain(brain).sections if section.image is not None}


def typical_section(graph: cytomesh.CortexGraph) -> int:
    """Return the number of the section that most nodes are linked to."""
    return int(np.bincount(graph.section[graph.is_linked]).argmax())


def typical_node(graph: cytomesh.CortexGraph, section: int | None = None) -> int:
    """Return a node on a crown, about 3 mm thick and cut at a right angle; of one section, if that is given."""
    nodes = graph.nodes
    faults = np.where(graph.is_linked, nodes["obliqueness_deg"], 90)
    faults = faults + 50 * np.abs(np.nan_to_num(nodes["thickness_mm"]) - 3) + 1e3 * (nodes["sulcal_depth_mm"] > 2)
    return int(np.argmin(faults if section is None else faults + 1e6 * (graph.section != section)))


def place_of(graph: cytomesh.CortexGraph, node: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return column and row, and the angle of a node's image link, as `read_patches` takes them."""
    return graph.nodes.stack(["column_px", "row_px"])[[node]], graph.nodes["angle_deg"][[node]]


def pixels_of(section: Section) -> NDArray[np.uint8]:
    """Return the grey values of a section's whole image."""
    with cytomesh.open_section(section) as image:
        return image.read(0, 0, image.shape[0], 0, image.shape[1])[..., 0]


def show_section(axes: Any, section: Section, pixels: NDArray[Any], bar_mm: float = 10, **style: Any) -> None:
    """Show an image in pixels of its section, with letters of orientation and a bar above it."""
    height, width = pixels.shape[:2]
    style = {"cmap": "gray", "vmin": 0, "vmax": 255} | style
    axes.imshow(pixels, extent=(-0.5, width - 0.5, height - 0.5, -0.5), **style)
    name_sides(axes, section)
    draw_bar(axes, bar_mm, 1000 * bar_mm / section.um_per_px)


def name_sides(axes: Any, section: Section) -> None:
    """Write what lies left, right, up and down of a section, and take its frame off."""
    axes.axis("off")
    to_world = section.plane.to_world
    for step, places in (
        (to_world[:, 0], ((-0.01, 0.5), (1.01, 0.5))),
        (-to_world[:, 1], ((0.5, -0.01), (0.5, 1.01))),
    ):
        along = int(np.abs(step).argmax())
        ends = LETTERS[along] if step[along] > 0 else LETTERS[along][::-1]
        for letter, (x, y) in zip(ends, places, strict=True):
            align = {0: "right", 1: "left"}.get(round(x) if y == 0.5 else -1, "center")
            level = {0: "top", 1: "bottom"}.get(round(y) if x == 0.5 else -1, "center")
            axes.text(x, y, letter, transform=axes.transAxes, ha=align, va=level, color="0.35")


def draw_bar(axes: Any, length_mm: float, length_px: float) -> None:
    """Draw a bar of a length below the lower left corner, clear of the picture."""
    across = axes.get_xaxis_transform()
    left = min(axes.get_xlim())
    axes.plot([left, left + length_px], [-0.035, -0.035], color="black", linewidth=2.5, transform=across, clip_on=False)
    name = f"{length_mm:g} mm" if length_mm >= 1 else f"{1000 * length_mm:g} µm"
    axes.text(left, -0.06, name, transform=across, va="top", fontsize="small")


def draw_rings(axes: Any, contours: Any) -> None:
    """Draw pial and white rings of a section."""
    for shape, colour, name in ((contours.pial, ORANGE, "pial"), (contours.white, BLUE, "white")):
        rings = [ring for part in shape.geoms for ring in (part.exterior, *part.interiors)]
        for k, ring in enumerate(rings):
            axes.plot(*np.array(ring.coords).T, color=colour, linewidth=1.2, label=None if k else name)


def label_picture(labels: NDArray[Any], table: cytomesh.LabelTable) -> NDArray[np.float64]:
    """Return the colours of a label image, clear where there is none."""
    return np.concatenate([[(1, 1, 1, 0)], table.colours])[table.columns(labels.ravel()) + 1].reshape(*labels.shape, 4)


def paint_labels(
    panel: Any, mesh: cytomesh.Mesh, labels: NDArray[Any], table: cytomesh.LabelTable, title: str, side: str = "L"
) -> None:
    """Draw labels on a hemisphere, from its lateral side."""
    draw_view(panel, mesh, label_colours(mesh, labels, table), "lateral", side)
    panel.set_title(title)


def paint_numbers(
    panel: Any,
    mesh: cytomesh.Mesh,
    values: NDArray[np.float64],
    palette: str,
    limits: tuple[float, float],
    title: str,
    label: str = "",
    side: str = "L",
) -> None:
    """Draw numbers on a hemisphere, from its lateral side; with a scale, if it has a label."""
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(*limits), palette)
    draw_view(panel, mesh, number_colours(mesh, values, scale), "lateral", side)
    panel.set_title(title)
    if label:
        plt.colorbar(scale, ax=panel, shrink=0.6, label=label)


def layer_legend(axes: Any, **place: Any) -> None:
    """Name the colours of the layers."""
    marks = [mpl.patches.Patch(color=c, label=name) for name, c in zip(LAYERS, LAYER_COLOURS, strict=True)]
    axes.legend(handles=marks, title="layer", frameon=False, fontsize="small", **place)


def open_axes(axes: Any) -> None:
    """Take off the frame at the top and the right."""
    axes.spines[["top", "right"]].set_visible(False)
