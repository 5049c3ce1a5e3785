"""Figures of scores and of what the features look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq

import cytomesh
from cytomesh.classify.splits import SectionSplit
from cytomesh.finetune.nodes import involved_graphs, training_nodes
from cytomesh.finetune.sampling import NodeSampler
from cytomesh.report.views import axes_of, draw_view
from docs.figures.parts import (
    BLUE,
    FEATURES,
    ORANGE,
    PINK,
    SERIES,
    graph_of,
    inflated,
    open_axes,
    place_of,
    sections_of,
)


def pretrain(run: Path) -> Any:
    """Draw patches and the loss."""
    graph, sections = graph_of(run, "B01"), sections_of(run, "B01")
    figure = plt.figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(5, 4))
    panels = left.subplots(3, 4)
    linked = np.flatnonzero(graph.is_linked)
    nodes = linked[np.linspace(0, len(linked) - 1, panels.size).astype(int)]
    for axes, node in zip(panels.flat, nodes, strict=True):
        section = sections[int(graph.section[node])]
        with cytomesh.open_section(section) as image:
            pixels = cytomesh.read_patches(image, section.um_per_px, *place_of(graph, node), 64, 62.5)
        axes.imshow(pixels[0, 0], cmap="gray", vmin=0, vmax=255)
        axes.axis("off")
    left.suptitle("patches of 4 mm, pial side up", fontsize="medium")
    axes = right.subplots()
    axes.plot(*_lines(run / "encoders" / FEATURES / "metrics.jsonl", "step", "loss"), "o-", color=BLUE, markersize=3)
    axes.set(xlabel="step", ylabel="loss")
    open_axes(axes)
    return figure


def _lines(path: Path, *names: str) -> tuple[list[Any], ...]:
    """Return the values of some names, of the lines of a log of metrics that have all of them."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return tuple([line[name] for line in lines if {*names} <= {*line}] for name in names)


def finetune(run: Path) -> Any:
    """Draw the nodes of a batch, and the scores of the rounds."""
    graph = graph_of(run, "B01")
    nodes = training_nodes(involved_graphs([graph], SectionSplit(), 0), [graph])
    batch = NodeSampler(nodes, hops=3, balance=0.5, seed=0).draw(0, 24, 9)
    mesh = inflated(run, graph)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3), layout="constrained", width_ratios=(4, 3))
    draw_view(left, mesh, np.tile((0.85, 0.85, 0.85), (len(mesh.faces), 1)), "lateral", "L")
    across, up, eye = axes_of("lateral", "L")
    corners = mesh.vertices[mesh.faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ eye > 0
    is_seen = np.isin(np.arange(graph.n_nodes), mesh.faces[facing])
    for members, colour, size, name in (
        (batch.nodes[batch.n_targets :], ORANGE, 16, "patch encoded, passes messages"),
        (batch.nodes[: batch.n_targets], BLUE, 16, "annotated: area to be named"),
    ):
        places = mesh.vertices[members[is_seen[members]]] @ np.stack([across, up], axis=1)
        left.scatter(*places.T, s=size, color=colour, linewidths=0, label=name, zorder=3)
    left.set_title("nodes of one batch")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), frameon=False, fontsize="small", ncols=2)
    rounds, scores = _lines(run / "encoders" / "tuned" / "tuning" / "metrics.jsonl", "round", "validation_macro_f1")
    right.plot(rounds, scores, "o-", color=BLUE)
    best = int(np.argmax(scores))
    right.plot(rounds[best], scores[best], "o", markersize=12, color=ORANGE, fillstyle="none", label="exported")
    right.set(xlabel="round (0: encoder as it was)", ylabel="macro-F1 of validation sections", xticks=rounds)
    right.set(ylim=(min(scores) - 0.03, max(scores) + 0.03), title="scores of the rounds")
    right.legend(frameon=False, fontsize="small")
    open_axes(right)
    return figure


def variation(run: Path) -> Any:
    """Draw R2 against the number of components."""
    table = pq.read_table(run / "analyze" / "variation" / "r2.parquet").to_pandas()
    means = table.groupby(["features", "target", "components"])["r2"].mean()
    targets = {
        "thickness_mm": "thickness",
        "curvature_per_mm": "curvature",
        "ref_y_mm": "posterior to\nanterior",
        "obliqueness_deg": "obliqueness\nof the cut",
    }
    figure, panels = plt.subplots(1, len(targets), figsize=(7.2, 2.8), layout="constrained", sharey=True)
    for axes, (target, title) in zip(panels, targets.items(), strict=True):
        for features, (name, colour, pen) in SERIES.items():
            values = means[features][target]
            axes.plot(values.index, values.clip(lower=-0.1), pen, color=colour, label=name, markersize=4)
        axes.set(title=title, xlabel="components", xscale="log")
        open_axes(axes)
        axes.axhline(0, color="#bbb", linewidth=0.8)
    panels[0].set_ylabel("R² on cortex left out")
    panels[-1].legend(frameon=False, fontsize="small")
    return figure


def inspect(run: Path) -> Any:
    """Draw the map of features."""
    table = pq.read_table(run / "analyze" / "inspect" / "map.parquet").to_pandas()
    named = table[table["area"] != "none"]
    colours = {name: colour for _, name, colour in graph_of(run, "B01").labels.rows()}
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2), layout="constrained", width_ratios=(1, 1.27))
    left.scatter(table["x"], table["y"], s=2, color="#dddddd")
    left.scatter(named["x"], named["y"], s=2, c=[colours[name] for name in named["area"]])
    left.set_title(f"colours of {named['area'].nunique()} areas; grey: no annotation")
    shown = right.scatter(table["x"], table["y"], s=2, c=table["ref_y_mm"], cmap="viridis")
    figure.colorbar(shown, ax=right, label="posterior to anterior (mm)")
    right.set_title("position")
    for axes in (left, right):
        axes.set(xticks=[], yticks=[])
    return figure


def evaluate(run: Path) -> Any:
    """Draw how well areas are named from each encoder's features, and from how many annotated sections."""
    table = pq.read_table(run / "analyze" / "evaluate" / "table.parquet").to_pandas()
    series = SERIES | {"coordinates": ("coordinates", PINK, "D-.")}
    table = table[table["encoder"].isin(series)]
    scores = table[table["measure"] == "macro_f1"]
    flat, curves = scores[scores["task"] == "areas"], scores[scores["task"] == "few_shot"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3), layout="constrained")
    splits = list(dict.fromkeys(flat["split"]))
    for k, (encoder, (name, colour, pen)) in enumerate(series.items()):
        own = flat[flat["encoder"] == encoder].set_index("split").reindex(splits)
        places = np.arange(len(splits)) + 0.16 * (k - 1.5)
        bars = np.abs(own[["low", "high"]].to_numpy().T - own["mean"].to_numpy())
        left.errorbar(places, own["mean"], bars, fmt=pen[0], color=colour, capsize=2, label=name)
        few = curves[(curves["encoder"] == encoder) & (curves["split"] == splits[0])].sort_values("level")
        right.errorbar(few["level"], few["mean"], few["sd"], fmt=pen, color=colour, capsize=2, markersize=4)
    left.set_xticks(range(len(splits)), splits)
    left.set(ylim=(0, None), ylabel="macro-F1 (95 % interval)", title="areas")
    right.set(
        ylim=(0, None),
        xscale="log",
        xlabel="annotated sections",
        ylabel="macro-F1 (SD of draws)",
        title=f"few annotated sections: {splits[0]}",
    )
    right.set_xticks(sorted(curves["level"].unique()), [f"{n:g}" for n in sorted(curves["level"].unique())])
    right.minorticks_off()
    for axes in (left, right):
        open_axes(axes)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure
