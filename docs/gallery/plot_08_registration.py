"""
Registration, and areas carried from brain to brain
===================================================

Two brains of different shape are brought together by their folds. The areas of one, carried to the other, are a prior
that needs no image; where borders follow folds it is hard to beat, and where they do not, images are needed.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import ConvexHull, cKDTree

from cytomesh import Mesh
from cytomesh.classify.area_fields import AreaFields, at_places
from cytomesh.core.config import load_config
from cytomesh.core.labels import LabelTable
from cytomesh.phantom.areas import area_name, draw_atlas
from cytomesh.phantom.brain import draw_brain
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.geometry import template
from cytomesh.register.demons import Stiffness
from cytomesh.register.resample import resample_labels, resampling
from cytomesh.register.sphere import make_sphere
from cytomesh.register.warp import pattern_of, warp_onto
from cytomesh.report.views import surface_views
from cytomesh.surface.mesh import unit

# %%
# Two simulated brains: fsaverage bent in two ways, with areas whose borders move against the folds by 2 mm at primary
# cortex and up to 8 mm elsewhere. Their midsurfaces, at 2,562 vertices to keep this quick.
changes = ["areas={count: 20, variation_mm: 0, displacement: {primary_mm: 2, association_mm: 8}}"]
settings = load_config(PhantomConfig, None, [*changes, "geometry={deformation_mm: 3, scale_sd: 0.06}"])
common = template("L")
atlas, _ = draw_atlas(common, 20, seed=0)
table = LabelTable.from_names([area_name(i) for i in range(1, 21)])
n = 2_562  # of fsaverage's vertices, those of the coarser meshes come first
faces = ConvexHull(common.sphere[:n]).simplices
is_turned = np.linalg.det(common.sphere[faces]) < 0
faces[is_turned] = faces[is_turned, ::-1]
brains = [draw_brain(brain, settings, common, atlas) for brain in settings.brains[:2]]
surfaces = [Mesh(brain.cortex.midsurface[:n], faces) for brain in brains]
areas = [brain.labels[:n] for brain in brains]

# %%
# A sphere for each brain, made from its own surface, and the folds that are compared, from lobes to single folds. The
# program does the same for all brains of a run, onto a template or their mean: ``cytomesh register``.
spheres = [make_sphere(surface) for surface in surfaces]
patterns = [pattern_of(surface, sphere) for surface, sphere in zip(surfaces, spheres, strict=True)]
warp, record = warp_onto(patterns[0], patterns[1], Stiffness(), n_stages=3)
for stage in record:
    print(f"{stage['grid']:,.0f} places: mean squared difference {stage['before']:.3f} -> {stage['after']:.3f} SD²")

# %%
# The areas of the first brain at the nodes of the second: by the nearest point in space, once both are centred, and
# along the registration, each node taking the label with the largest share.
registered = Mesh(warp(unit(spheres[0].vertices)), faces)
weights = resampling(registered, spheres[1], surfaces[0].vertex_areas, surfaces[1].vertex_areas)
centred = [surface.vertices - surface.vertices.mean(axis=0) for surface in surfaces]
_, nearest = cKDTree(centred[0]).query(centred[1])
carried = {
    "by the nearest point in space": areas[0][nearest],
    "along the registration": resample_labels(weights, areas[0]),
}
inside = areas[1] > 0
figure = plt.figure(figsize=(7, 8), layout="constrained")
top, *others = figure.subfigures(3, 1)
surface_views(surfaces[1], areas[1], "L", table=table, title="Areas of the second brain", into=top)
for part, (name, labels) in zip(others, carried.items(), strict=True):
    share = (labels == areas[1])[inside].mean()
    title = f"Areas of the first, {name}: {share:.0%} of the nodes right"
    surface_views(surfaces[1], np.where(inside, labels, 0), "L", table=table, title=title, into=part)
plt.show()

# %%
# The registered prior: the areas of training brains, smoothed on the sphere by 3 degrees, as probabilities. It knows
# where it is unsure. ``cytomesh classify --set prior.registration=NAME`` chooses the smoothing by the training
# brains, and multiplies the prior with what a model says of the images.
known = areas[0] > 0
areas_mm2 = surfaces[0].vertex_areas
(fields,) = AreaFields.of(
    registered.vertices[known].astype(np.float32),
    areas[0][known].astype(np.int64) - 1,
    np.zeros(int(known.sum()), np.int64),
    areas_mm2[known] / areas_mm2.sum(),
    len(table),
    widths=(3.0,),
)
prior = at_places(fields.prior(np.array([True])), unit(spheres[1].vertices).astype(np.float32))
of_truth = np.where(inside, prior[np.arange(n), np.maximum(areas[1], 1) - 1], np.nan)
surface_views(
    surfaces[1], of_truth, "L", limits=(0, 1), label="probability", title="Prior probability of the true area"
)
plt.show()
