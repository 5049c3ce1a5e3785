"""
Areas: surroundings, graph attention, and the null
==================================================

One node says little about its area; its surroundings say more. What a score is worth is seen beside the same score of
areas that were rotated on the sphere.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import f1_score

from cytomesh import AreaClassifier, LabelTable, mesh_graph, neighbour_means, rotations, spin_sources, surface_views
from cytomesh.phantom.areas import area_name
from cytomesh.phantom.maps import draw_maps

# %%
# Two hemispheres with simulated maps of layer thickness and 20 areas; the left one is learnt from, the right one
# tested.
table = LabelTable.from_names([area_name(i) for i in range(1, 21)])
graphs, features, spheres = [], [], []
for side in "LR":
    known = draw_maps(side, "freesurfer", n_areas=20)
    graphs.append(
        mesh_graph(
            known.midsurface, labels=known.labels, table=table, is_cortex=known.is_cortex, brain="B01", hemisphere=side
        )
    )
    maps = np.column_stack(list(known.maps.values())).astype(np.float32)
    features.append(np.where(known.is_cortex[:, None], maps, np.nan).astype(np.float32))
    spheres.append(known.surfaces["sphere"].vertices)
left, right = graphs

# %%
# Linear discriminants of single nodes; of means over growing surroundings, side by side; and graph attention, which
# learns what to take from the neighbours. A stripe of the left hemisphere says when its training stops.
hops = (0, 1, 3, 6, 10)
around = [
    neighbour_means(values, graph.is_cortex, graph.adjacency, hops, "walk")
    for values, graph in zip(features, graphs, strict=True)
]
stripe = np.floor(left.positions[:, 1] / 8.0) % 5 == 0
GAT = {"hidden": 32, "heads": 2, "layers": 4, "training": {"epochs": 60, "patience": 60, "learning_rate": 0.02}}
predicted = {}
for name, kind, inputs, settings in (
    ("LDA, one node", "lda", features, {}),
    ("LDA, surroundings", "lda", around, {}),
    ("graph attention", "gat", features, GAT),
):
    model = AreaClassifier(kind, **settings)
    model.fit(inputs[0], left.annotation, left.adjacency, validation=stripe if kind == "gat" else None)
    predicted[name] = model.predict(inputs[1], right.adjacency)


# %%
# The null: the left areas are rotated on the sphere, learnt again, and predicted again, 20 times.
def macro_f1(truth: np.ndarray, found: np.ndarray) -> float:
    """Return macro-F1 over the areas of the cortex of the right hemisphere."""
    inside = right.is_cortex & (truth > 0)
    return f1_score(truth[inside], found[inside], average="macro", labels=np.unique(truth[inside]))


null = []
for rotation in rotations(20, seed=0):
    mirrored = np.diag([-1.0, 1.0, 1.0]) @ rotation @ np.diag([-1.0, 1.0, 1.0])
    spun = [
        np.where(graph.is_cortex, graph.annotation[spin_sources(sphere, turn)], 0)
        for graph, sphere, turn in zip(graphs, spheres, (rotation, mirrored), strict=True)
    ]
    model = AreaClassifier("lda").fit(around[0], spun[0], left.adjacency)
    null.append(macro_f1(spun[1], model.predict(around[1], right.adjacency)))

figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
scores = {name: macro_f1(right.annotation, found) for name, found in predicted.items()}
bars = axes.barh(list(scores), list(scores.values()), color="#0072b2")
axes.bar_label(bars, fmt=" %.2f")
axes.plot(null, np.full(20, 1.0), "o", color="#d55e00", alpha=0.6, label="surroundings, rotated areas (20 spins)")
axes.axvline(1 / 20, ls=":", color="0.3", label="chance (1 / 20 areas)")
axes.set(xlabel="macro-F1 on the right hemisphere", xlim=(0, 1.1))
axes.invert_yaxis()
axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.25), ncols=2, fontsize="small")
plt.show()

# %%
# The given areas of the right hemisphere, and those predicted there.
figure = plt.figure(figsize=(7, 8), layout="constrained")
for part, (name, found) in zip(
    figure.subfigures(3, 1), (("given", right.annotation), *list(predicted.items())[1:]), strict=True
):
    labels = np.where(right.is_cortex, found, 0)
    surface_views(right.mesh, labels, "R", table=table, title=f"Areas, {name}", into=part)
plt.show()
