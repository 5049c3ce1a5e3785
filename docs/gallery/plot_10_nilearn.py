"""
All maps of a run, with nilearn
===============================

Graphs give their values to nilearn as `SurfaceImage`, so that whatever it plots or computes on surfaces takes them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from nilearn import plotting

from cytomesh import load_features, load_graphs, parcellate_nodes, read_vertex_data, read_vertex_labels


def cytomesh(*words: object) -> None:
    """Run a command of the program, as typed in a shell."""
    subprocess.run([sys.executable, "-m", "cytomesh", *map(str, words)], check=True)


# %%
# A small run: sections of one simulated hemisphere, surfaces from their contours, profiles, areas, parcels.
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
run = folder / "run"
cytomesh("phantom", "--out", folder / "study", "--config", "tiny", "--set", "brains=[{id: B01, role: train}]")
cytomesh("build-graph", folder / "study" / "study.yaml", "--out", run, "--config", "tiny")
cytomesh("profiles", "--out", run, "--config", "tiny")
cytomesh("classify", "--out", run, "--config", "neighbour_lda", "--set", "inputs.names=[features:profiles]")
(graph,) = load_graphs(run)
profiles = load_features(run, "profiles", graph)
areas = run / "classify" / "areas"
predicted, _ = read_vertex_labels(areas / f"{graph.name}.label.gii", graph.n_nodes, "L")
confidence = read_vertex_data(areas / f"{graph.name}_confidence.func.gii", graph.n_nodes, "L")["confidence"]

# %%
# The maps: name, unit, values of the nodes (NaN where there is none), colour map.
cortex = graph.is_linked
maps = [
    ("thickness", "mm", graph.nodes["thickness_mm"], "cividis"),
    ("curvature", "1/mm", graph.nodes["curvature_per_mm"], "PuOr"),
    ("sulcal depth", "mm", graph.nodes["sulcal_depth_mm"], "cividis"),
    ("obliqueness of the cut", "degrees", np.where(cortex, graph.nodes["obliqueness_deg"], np.nan), "cividis"),
    ("distance to its section", "mm", np.where(cortex, graph.nodes["distance_mm"], np.nan), "PuOr"),
    ("mean of the profile", "grey value", profiles.mean(1), "cividis"),
    ("confidence of the area", "probability", np.where(cortex, confidence, np.nan), "cividis"),
]


def draw(axes: plt.Axes, values: np.ndarray, view: str, **style: object) -> None:
    """Plot values of nodes as nilearn does, with letters where anterior and posterior are."""
    plotting.plot_surf(surf_map=graph.to_surface_image(values), hemi="left", view=view, axes=axes, **style)
    ends = ("A", "P") if view == "lateral" else ("P", "A")
    axes.set_box_aspect(axes._box_aspect, zoom=1.5)
    for letter, x in zip(ends, (0.0, 1.0), strict=True):
        axes.text2D(x, 0.5, letter, transform=axes.transAxes, ha="center", color="0.3")


figure, panels = plt.subplots(len(maps), 2, figsize=(6.5, 2.3 * len(maps)), subplot_kw={"projection": "3d"})
figure.subplots_adjust(left=0, bottom=0.01, top=0.98, hspace=0.15)
for row, (name, unit, values, colours) in zip(panels, maps, strict=True):
    values = np.asarray(values, np.float64)
    low, high = np.nanpercentile(values, (2, 98))
    if colours == "PuOr":  # white is 0
        low, high = -max(-low, high), max(-low, high)
    for axes, view in zip(row, ("lateral", "medial"), strict=True):
        draw(axes, values, view, cmap=colours, vmin=low, vmax=high, colorbar=False, avg_method="mean")
    row[0].set_title(f"{name}, left hemisphere, lateral and medial", loc="left", fontsize="medium")
    scale = plt.cm.ScalarMappable(plt.Normalize(low, high), colours)
    figure.colorbar(scale, ax=row.tolist(), label=unit, shrink=0.7)
plt.show()

# %%
# Labels: annotated areas, predicted areas, parcels. Colours are those of the label table.
parcels = parcellate_nodes(graph, profiles, 12, method="ward", min_nodes=4)
palette = plt.matplotlib.colors.ListedColormap(np.vstack([[[0.8, 0.8, 0.8, 1.0]], graph.labels.colours]))
figure, panels = plt.subplots(3, 2, figsize=(6.5, 7.2), subplot_kw={"projection": "3d"}, layout="constrained")
for row, (name, labels) in zip(
    panels,
    (("annotated areas", graph.annotation), ("predicted areas", predicted), ("parcels", parcels)),
    strict=True,
):
    for axes, view in zip(row, ("lateral", "medial"), strict=True):
        draw(
            axes,
            np.asarray(labels, np.float64),
            view,
            cmap=palette,
            vmin=-0.5,
            vmax=12.5,
            colorbar=False,
            avg_method="median",
        )
    row[0].set_title(f"{name}, left hemisphere", loc="left", fontsize="medium")
keys = [plt.Line2D([], [], marker="s", ls="", color=colour, label=name) for _, name, colour in graph.labels.rows()]
figure.legend(handles=keys, loc="outside lower center", ncols=6, title="areas (parcels: 1 to 12 in the same colours)")
plt.show()
temporary.cleanup()
