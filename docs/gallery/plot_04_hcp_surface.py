"""
A 32k surface as HCP has it
===========================

GIFTI surfaces of 32,492 vertices a side, maps and labels in CIFTI files that hold both sides without the medial wall.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import yaml

from cytomesh import LabelTable, import_graphs, load_graphs
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import write_text
from cytomesh.core.tables import read_table
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run
from cytomesh.phantom.maps import write_phantom_maps
from cytomesh.report.views import surface_views
from cytomesh.surface.gifti import read_labels

# %%
# Simulated maps in HCP's kinds of files: `*.surf.gii`, `*.dscalar.nii`, `*.dlabel.nii`, `*.atlasroi.*.shape.gii`.
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
write_phantom_maps(folder, "hcp", n_areas=16)
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
write_text(folder / "hcp.yaml", yaml.safe_dump({"name": "layers", "features": "layers", "hemispheres": hemispheres}))

# %%
# Import, areas (left to right hemisphere), parcels.
run = folder / "run"
import_graphs(folder / "hcp.yaml", run)
areas = load_config(ClassifyConfig, preset("classify", "neighbour_lda"), ["split={kind: hemisphere}"])
scores = classify_run(run, "areas", areas)
print(f"macro-F1 on the right hemisphere: {scores['macro_f1_test']:.3f}")
evaluation = "evaluation={spins: 5, tilings: 2, baselines: [], stability: {splits: 0}}"
parcels = load_config(ParcellateConfig, preset("parcellate", "ward"), ["n_parcels=16", evaluation])
for name, found in parcellate_run(run, "parcels", parcels).items():
    print(f"{name}: AMI {found['ami']:.3f}, {found['ami_over_spin']:+.3f} above rotated areas")

# %%
# Where the prediction on the right hemisphere is unsure: at borders. The medial wall, which is no cortex, stays grey.
right = load_graphs(run)[1]
predictions = read_table(run / "classify" / "areas" / "predictions" / f"{right.name}.parquet").columns
labels, found = read_labels(run / "parcellate" / "parcels" / f"{right.name}.label.gii")
found = LabelTable(found.indices, tuple(map(str, found.indices)), found.colours)  # "4" instead of "parcel 4"
figure = plt.figure(figsize=(7, 8), layout="constrained")
top, middle, bottom = figure.subfigures(3, 1)
surface_views(right.mesh, np.asarray(predictions["area"]), "R", table=right.labels, title="Predicted areas", into=top)
surface_views(
    right.mesh,
    np.where(right.is_linked, np.asarray(predictions["confidence"], float), np.nan),
    "R",
    label="probability of the area",
    limits=(0, 1),
    title="Confidence",
    into=middle,
)
surface_views(right.mesh, labels, "R", table=found, title="Parcels", into=bottom)
plt.show()
temporary.cleanup()
