"""
Registration, and areas carried from brain to brain
===================================================

Two brains of different shape are brought together by their folds. The areas of one, carried to the other, are a prior
that needs no image; where borders follow folds it is hard to beat, and where they do not, images are needed.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import yaml
from scipy.spatial import ConvexHull, cKDTree

from cytomesh import LabelTable, load_graphs, read_vertex_labels, surface_views
from cytomesh.phantom.areas import area_name, draw_atlas
from cytomesh.phantom.brain import draw_brain
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.geometry import template


def cytomesh(*words: object) -> dict:
    """Run a command of the program, as typed in a shell, and return its summary."""
    command = [sys.executable, "-m", "cytomesh", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


# %%
# Two simulated brains: fsaverage bent in two ways, with areas whose borders move against the folds by 2 mm at primary
# cortex and up to 8 mm elsewhere. Their midsurfaces, at 2,562 vertices to keep this quick, are written as FreeSurfer
# writes surfaces, with the areas and one map.
displacement = {"primary_mm": 2, "association_mm": 8}
settings = PhantomConfig(
    areas={"count": 20, "variation_mm": 0, "displacement": displacement},
    geometry={"deformation_mm": 3, "scale_sd": 0.06},
)
common = template("L")
atlas, _ = draw_atlas(common, 20, seed=0)
table = LabelTable.from_names([area_name(i) for i in range(1, 21)])
n = 2_562  # of fsaverage's vertices, those of the coarser meshes come first
faces = ConvexHull(common.sphere[:n]).simplices
is_turned = np.linalg.det(common.sphere[faces]) < 0
faces[is_turned] = faces[is_turned, ::-1]
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
hemispheres = []
for name, part in (("first", settings.brains[0]), ("second", settings.brains[1])):
    brain = draw_brain(part, settings, common, atlas)
    nib.freesurfer.write_geometry(folder / f"{name}.lh.mid", brain.cortex.midsurface[:n], faces)
    colours = np.column_stack([np.rint(255 * table.colours), np.zeros(20)]).astype(int)
    nib.freesurfer.write_annot(
        folder / f"{name}.lh.annot", brain.labels[:n] - 1, colours, list(table.names), fill_ctab=True
    )
    np.save(folder / f"{name}.lh.npy", np.linalg.norm(brain.cortex.pial - brain.cortex.white, axis=1)[:n])
    files = {"midthickness": f"{name}.lh.mid", "features": [f"{name}.lh.npy"], "labels": f"{name}.lh.annot"}
    hemispheres.append({"brain": name, "hemisphere": "L", **files})
manifest = folder / "brains.yaml"
manifest.write_text(yaml.safe_dump({"name": "two brains", "hemispheres": hemispheres}))

# %%
# A sphere for each brain, made from its own surface, and both laid onto fsaverage's by their folds, from lobes to
# single ones. With ``--set template=study`` the template is the mean of a study's own hemispheres, for any species.
run = folder / "run"
cytomesh("graph", "import", manifest, "--out", run)
for name, found in cytomesh("register", "--out", run).items():
    print(name, found)
first, second = load_graphs(run)

# %%
# The areas of the first brain at the nodes of the second: by the nearest point in space, once both are centred, and
# along the registration, each node taking the label with the largest share. Of the areas of all training brains,
# carried like this, ``cytomesh classify --set prior.registration=folding`` makes a prior, and multiplies it with what a
# model says of the images.
areas = run / "graphs" / first.name / "annotation.label.gii"
cytomesh("resample", areas, folder / "carried.label.gii", "--out", run, "--from", first.name, "--to", second.name)
centred = [graph.positions - graph.positions.mean(axis=0) for graph in (first, second)]
_, nearest = cKDTree(centred[0]).query(centred[1])
carried = {
    "by the nearest point in space": first.annotation[nearest],
    "along the registration": read_vertex_labels(folder / "carried.label.gii", n, "L")[0],
}
inside = second.annotation > 0
figure = plt.figure(figsize=(7, 8), layout="constrained")
top, *others = figure.subfigures(3, 1)
surface_views(second.mesh, second.annotation, "L", table=table, title="Areas of the second brain", into=top)
for part, (name, labels) in zip(others, carried.items(), strict=True):
    share = (labels == second.annotation)[inside].mean()
    title = f"Areas of the first, {name}: {share:.0%} of the nodes right"
    surface_views(second.mesh, np.where(inside, labels, 0), "L", table=table, title=title, into=part)
plt.show()
temporary.cleanup()
