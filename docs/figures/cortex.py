"""Figures of values of nodes on the cortex."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

import cytomesh
from cytomesh.report.views import axes_of, draw_view, number_colours
from cytomesh.surface.gifti import read_surface
from docs.figures.parts import (
    BLUE,
    FEATURES,
    ORANGE,
    graph_of,
    inflated,
    open_axes,
    paint_labels,
    paint_numbers,
    place_of,
    sections_of,
    typical_node,
)


def own_maps(run: Path) -> Any:
    """Draw a map and the labels of both hemispheres of an import."""
    graphs = cytomesh.load_graphs(run / "own")
    figure, rows = plt.subplots(2, 2, figsize=(7.2, 4.6), layout="constrained")
    for column, graph in zip(rows.T, graphs, strict=True):
        side = graph.hemisphere
        features = cytomesh.load_features(run / "own", "maps", graph)
        scale = ScalarMappable(Normalize(0.2, 1.4), "cividis")
        draw_view(column[0], graph.mesh, number_colours(graph.mesh, features[:, 2], scale), "lateral", side)
        h = {"L": "lh", "R": "rh"}[side]
        column[0].set_title(f"surf/{h}.layer_III")
        paint_labels(column[1], graph.mesh, graph.annotation, graph.labels, f"label/{h}.areas.annot", side)
    plt.colorbar(scale, ax=rows[0].tolist(), shrink=0.8, label="thickness of layer III (mm)")
    return figure


def register(run: Path) -> Any:
    """Draw sulcal depth on three surfaces."""
    graph = graph_of(run, "B01")
    folder = run / "register" / "folding" / graph.name
    figure, panels = plt.subplots(1, 3, figsize=(7.2, 2.5), layout="constrained")
    depth = graph.nodes["sulcal_depth_mm"]
    shown = ("midthickness", graph.mesh, ""), ("inflated", None, ""), ("sphere.reg", None, "sulcal depth (mm)")
    for axes, (name, mesh, label) in zip(panels, shown, strict=True):
        mesh = mesh or read_surface(folder / f"{name}.surf.gii")
        paint_numbers(axes, mesh, depth, "cividis", (0, 15), name, label)
    return figure


def embed(run: Path) -> Any:
    """Draw two nodes: patch, staining profile and features; and the features of all nodes."""
    graph = graph_of(run, "B01")
    features, profiles = (np.asarray(cytomesh.load_features(run, name, graph)) for name in (FEATURES, "profiles"))
    known = graph.is_linked & np.isfinite(features).all(axis=1)
    centred = features[known] - features[known].mean(axis=0)
    values = np.full(graph.n_nodes, np.nan)
    values[known] = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    sections = sections_of(run, "B01")
    nodes = [typical_node(graph, section) for section in np.quantile(graph.section[known], (0.1, 0.85)).astype(int)]
    figure = plt.figure(figsize=(7.2, 3.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    rows = left.subplots(2, 3, width_ratios=(1, 0.8, 1.2))
    for row, node, letter, colour in zip(rows, nodes, "ab", (BLUE, ORANGE), strict=True):
        section = sections[int(graph.section[node])]
        with cytomesh.open_section(section) as image:
            patch = cytomesh.read_patches(image, section.um_per_px, *place_of(graph, node), 64, 62.5)[0, 0]
        row[0].imshow(patch, cmap="gray", vmin=0, vmax=255)
        row[0].set(xticks=[], yticks=[])
        row[0].set_ylabel(f"node {letter}", color=colour, fontweight="bold")
        row[1].plot(profiles[node], np.linspace(0, 1, profiles.shape[1]), color=colour)
        row[1].set(ylim=(1, 0), xlim=(60, 240), ylabel="pial to white", yticks=(0, 1))
        row[2].bar(np.arange(features.shape[1]), features[node], color=colour, width=1)
        row[2].set(yticks=[])
        for axes in row[1:]:
            open_axes(axes)
    for axes, title in zip(rows[0], ("patch, 4 mm", "profile", "features"), strict=True):
        axes.set_title(title)
    rows[1, 1].set_xlabel("grey value")
    rows[1, 2].set_xlabel("component")
    axes, mesh = right.subplots(), inflated(run, graph)
    scale = ScalarMappable(Normalize(*np.nanpercentile(values, (2, 98))), "cividis")
    draw_view(axes, mesh, number_colours(mesh, values, scale), "lateral", "L")
    for node, letter, colour in zip(nodes, "ab", (BLUE, ORANGE), strict=True):
        place = axes_of("lateral", "L")[:2] @ mesh.vertices[node]
        box = {"boxstyle": "circle", "facecolor": "white", "edgecolor": colour, "linewidth": 2}
        axes.text(*place, letter, ha="center", va="center", fontweight="bold", bbox=box)
    right.colorbar(scale, ax=axes, location="bottom", shrink=0.8, label="first principal component")
    axes.set_title("features of all nodes")
    return figure


def classify(run: Path) -> Any:
    """Draw annotation, prediction and confidence of a brain that was not trained on."""
    graph = graph_of(run, "B04")
    table = pq.read_table(run / "classify" / "gat" / "predictions" / f"{graph.name}.parquet")
    area, confidence = (table[name].to_numpy() for name in ("area", "confidence"))
    mesh = inflated(run, graph)
    figure, panels = plt.subplots(1, 3, figsize=(7.2, 2.5), layout="constrained")
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
    mesh = inflated(run, graph)
    names = cytomesh.LabelTable.from_names([f"parcel {i}" for i in range(1, int(parcel.max()) + 1)])
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3), layout="constrained")
    paint_labels(panels[0], mesh, parcel, names, f"{int(parcel.max())} parcels")
    title = "how much comes back from half of the sections"
    paint_numbers(panels[1], mesh, confidence, "viridis", (0, 1), title, "confidence")
    return figure
