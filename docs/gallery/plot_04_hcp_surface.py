"""
A 32k surface as HCP has it
===========================

GIFTI surfaces of 32,492 vertices a side, maps and labels in CIFTI files that hold both sides without the medial wall.
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

from cytomesh import LabelTable, load_graphs, read_vertex_data, read_vertex_labels, surface_views


def cytomesh(*words: object) -> dict:
    """Run a command of the program, as typed in a shell, and return its summary."""
    command = [sys.executable, "-m", "cytomesh", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


# %%
# Simulated maps in HCP's kinds of files: `*.surf.gii`, `*.dscalar.nii`, `*.dlabel.nii`, `*.atlasroi.*.shape.gii`.
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
cytomesh("phantom-maps", "--out", folder, "--style", "hcp", "--areas", 16)
image = nib.load(folder / "layers.32k.dscalar.nii")
print(*image.header.get_axis(0).name, sep=", ")
print(*(name for name, *_ in image.header.get_axis(1).iter_structures()), sep=", ")
hemispheres = [
    {
        "brain": "sub-01",
        "hemisphere": side,
        "pial": f"{side}.pial.32k.surf.gii",
        "white": f"{side}.white.32k.surf.gii",
        "sphere": f"{side}.sphere.32k.surf.gii",
        "cortex": f"{side}.atlasroi.32k.shape.gii",
        "features": ["layers.32k.dscalar.nii"],
        "labels": "areas.32k.dlabel.nii",
    }
    for side in "LR"
]
manifest = folder / "hcp.yaml"
manifest.write_text(yaml.safe_dump({"name": "layers", "features": "layers", "hemispheres": hemispheres}))

# %%
# Import, areas (left to right hemisphere), parcels.
run = folder / "run"
cytomesh("graph", "import", manifest, "--out", run)
scores = cytomesh("classify", "--out", run, "--config", "neighbour_lda", "--set", "split={kind: hemisphere}")
print(f"macro-F1 on the right hemisphere: {scores['macro_f1_test']:.3f}")
evaluation = "evaluation={spins: 5, tilings: 2, baselines: [], stability: {splits: 0}}"
options = ("--config", "ward", "--set", "n_parcels=16", "--set", evaluation)
for name, found in cytomesh("parcellate", "--out", run, *options).items():
    print(f"{name}: AMI {found['ami']:.3f}, {found['ami_over_spin']:+.3f} above rotated areas")

# %%
# Where the prediction on the right hemisphere is unsure: at borders. The medial wall, which is no cortex, stays grey.
right = load_graphs(run)[1]
n = right.n_nodes
predicted, _ = read_vertex_labels(run / "classify" / "areas" / f"{right.name}.label.gii", n, "R")
confidence = read_vertex_data(run / "classify" / "areas" / f"{right.name}_confidence.func.gii", n, "R")["confidence"]
labels, found = read_vertex_labels(run / "parcellate" / "parcels" / f"{right.name}.label.gii", n, "R")
found = LabelTable(found.indices, tuple(map(str, found.indices)), found.colours)  # "4" instead of "parcel 4"
figure = plt.figure(figsize=(7, 8), layout="constrained")
top, middle, bottom = figure.subfigures(3, 1)
surface_views(right.mesh, predicted, "R", table=right.labels, title="Predicted areas", into=top)
surface_views(
    right.mesh,
    np.where(right.is_linked, confidence, np.nan),
    "R",
    label="probability of the area",
    limits=(0, 1),
    title="Confidence",
    into=middle,
)
surface_views(right.mesh, labels, "R", table=found, title="Parcels", into=bottom)
plt.show()
temporary.cleanup()
