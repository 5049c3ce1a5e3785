"""
Registration, and areas carried from brain to brain
===================================================

Two brains of different shape are brought together by their folds. The areas of one, carried to the other, are a prior
that needs no image; where borders follow folds it is hard to beat, and where they do not, images are needed.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

from cytomesh import Mesh, mesh_graph
from cytomesh.classify.area_fields import AreaFields, at_places
from cytomesh.core.config import load_config, preset
from cytomesh.core.labels import LabelTable
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.phantom.areas import area_name, draw_atlas
from cytomesh.phantom.brain import draw_brain
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.geometry import template
from cytomesh.register.carry import graph_place, open_places, weights_between
from cytomesh.register.config import RegisterConfig
from cytomesh.register.resample import resample_labels
from cytomesh.register.run import register_run
from cytomesh.report.views import surface_views
from cytomesh.surface.fsaverage import fsaverage5

# %%
# Two simulated brains: fsaverage bent in two ways, with areas whose borders move against the folds by 2 mm at primary
# cortex and up to 6 mm elsewhere. `spheres: made` makes a sphere for each from its own surface.
changes = ["areas={count: 20, variation_mm: 0, displacement: {primary_mm: 2, association_mm: 6}}"]
changes += ["brains=[{id: B01, role: train}, {id: B02, role: unseen}]"]
settings = load_config(PhantomConfig, None, changes)
common = template("L")
atlas, _ = draw_atlas(common, 20, seed=0)
table = LabelTable.from_names([area_name(i) for i in range(1, 21)])
n = 10_242  # the vertices of fsaverage5, which come first
temporary = tempfile.TemporaryDirectory()
run = Path(temporary.name)
for brain in settings.brains:
    drawn = draw_brain(brain, settings, common, atlas)
    faces = fsaverage5("L")["pial"].faces
    surfaces = {
        kind: Mesh(points[:n], faces)
        for kind, points in (
            ("pial", drawn.cortex.pial),
            ("midthickness", drawn.cortex.midsurface),
            ("white", drawn.cortex.white),
        )
    }
    graph = mesh_graph(
        surfaces["midthickness"],
        labels=drawn.labels[:n],
        table=table,
        is_cortex=~common.is_medial_wall[:n],
        brain=brain.id,
        role=brain.role,
    )
    save_graph(run, graph, surfaces, {})

# %%
# Registration onto the mean of the two, by sulcal depth and curvature (in the program: ``cytomesh register --config
# study``). The correlation of folding with the mean says how well folds meet.
found = register_run(run, "folding", load_config(RegisterConfig, preset("register", "study")), workers=1)
for name, facts in found.items():
    print(name, facts)

# %%
# The areas of B01 at the nodes of B02: by the nearest point in space, once both are centred, and along the
# registration, each node taking the label with the largest share.
first, second = load_graphs(run)
centred = [graph.positions - graph.positions[graph.is_cortex].mean(axis=0) for graph in (first, second)]
_, nearest = cKDTree(centred[0]).query(centred[1])
weights = weights_between(*open_places(run, "folding", first.name, second.name))
carried = {
    "nearest point in space": first.annotation[nearest],
    "along the registration": resample_labels(weights, first.annotation),
}
figure = plt.figure(figsize=(7, 8), layout="constrained")
inside = second.annotation > 0
top, *others = figure.subfigures(3, 1)
surface_views(second.mesh, second.annotation, "L", table=table, title="B02, its own areas", into=top)
for part, (name, labels) in zip(others, carried.items(), strict=True):
    labels = np.where(second.is_cortex, labels, 0)
    right = (labels == second.annotation)[inside].mean()
    title = f"Areas of B01 by {name}: {right:.0%} of the nodes right"
    surface_views(second.mesh, labels, "L", table=table, title=title.replace("by along", "along"), into=part)
plt.show()

# %%
# The registered prior: the areas of the training brains, smoothed on the sphere by 3 degrees, as probabilities. It
# knows where it is unsure. ``cytomesh classify --set prior.registration=folding`` chooses the smoothing by the training
# brains, and multiplies the prior with what a model says of the images.
places = [graph_place(run, "folding", graph).on_common.vertices for graph in (first, second)]
places = [(each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in places]
known = first.annotation > 0
areas_mm2 = first.mesh.vertex_areas
(fields,) = AreaFields.of(
    places[0][known],
    first.annotation[known].astype(np.int64) - 1,
    np.zeros(int(known.sum()), np.int64),
    areas_mm2[known] / areas_mm2.sum(),
    len(table),
    widths=(3.0,),
)
prior = at_places(fields.prior(np.array([True])), places[1])
of_truth = np.where(inside, prior[np.arange(n), np.maximum(second.annotation, 1) - 1], np.nan)
surface_views(
    second.mesh, of_truth, "L", limits=(0, 1), label="probability", title="Prior probability of the true area of B02"
)
plt.show()
temporary.cleanup()
