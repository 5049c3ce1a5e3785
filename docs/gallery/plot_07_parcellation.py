"""
Parcels: spectral clustering beside Ward's method
=================================================

Parcels are connected regions of similar cortex; no area is read. Any tiling of a mesh agrees with any map of areas to
some degree, so that agreement counts above its nulls only.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from cytomesh import LabelTable, mesh_graph, parcellate_nodes, rotations, spin_sources, surface_views
from cytomesh.phantom.maps import draw_maps

# %%
# Simulated maps of layer thickness on fsaverage5, and the 20 areas that they were made from.
known = draw_maps("L", "freesurfer", n_areas=20)
graph = mesh_graph(known.midsurface, labels=known.labels, is_cortex=known.is_cortex)
features = np.column_stack(list(known.maps.values()))

# %%
# Two methods, and Ward's method on random numbers, which knows nothing but the mesh.
noise = np.random.default_rng(0).normal(size=features.shape)
parcels = {
    "spectral": parcellate_nodes(graph, features, 20, method="spectral"),
    "Ward": parcellate_nodes(graph, features, 20, method="ward"),
    "Ward, random numbers": parcellate_nodes(graph, noise, 20, method="ward"),
}
figure = plt.figure(figsize=(7, 8), layout="constrained")
table = LabelTable.from_names([str(n) for n in range(1, 21)])
for part, (name, labels) in zip(figure.subfigures(3, 1), parcels.items(), strict=True):
    surface_views(graph.mesh, labels, "L", table=table, title=f"{name}, 20 parcels", into=part)
plt.show()

# %%
# Agreement with the areas (adjusted mutual information), beside that with areas rotated on the sphere 50 times. What
# lies at the medial wall after a rotation is left out.
figure, axes = plt.subplots(figsize=(6.5, 3), layout="constrained")
sphere = known.surfaces["sphere"].vertices
spun = [known.labels[spin_sources(sphere, rotation)] for rotation in rotations(50, seed=0)]
for row, labels in enumerate(parcels.values()):
    inside = labels > 0
    null = [
        adjusted_mutual_info_score(turned[keep], labels[keep]) for turned in spun for keep in [inside & (turned > 0)]
    ]
    observed = adjusted_mutual_info_score(known.labels[inside], labels[inside])
    above = (observed - np.mean(null)) / np.std(null)
    axes.plot(null, np.full(50, row), "|", ms=12, color="#d55e00", label=None if row else "rotated areas (50 spins)")
    axes.plot(observed, row, "D", color="#0072b2", label=None if row else "areas")
    axes.annotate(f"{above:+.1f} SD", (observed, row), (0, 8), textcoords="offset points", ha="center")
axes.set_yticks(range(3), list(parcels))
axes.set(xlabel="agreement with areas (AMI)", ylim=(2.6, -0.6), xlim=(0, 1))
axes.legend(loc="lower right", fontsize="small")
plt.show()
