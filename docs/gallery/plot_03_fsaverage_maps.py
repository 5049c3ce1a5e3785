"""
Own maps on fsaverage: areas and parcels
========================================

Surfaces, maps and labels that exist already need no sections: three functions, or the three commands
``cytomesh graph import``, ``classify`` and ``parcellate``, lead to areas and parcels.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import yaml

from cytomesh import LabelTable, import_graphs, load_features, load_graphs
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import write_text
from cytomesh.core.tables import read_table
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run
from cytomesh.phantom.maps import LAYER_MAPS, write_phantom_maps
from cytomesh.report.views import surface_views
from cytomesh.surface.gifti import read_labels

# %%
# Maps of the thickness of six layers, and twelve simulated areas, on fsaverage5, as FreeSurfer's files. Put yours in
# their place: `lh.thickness`, `.mgh`, `.shape.gii`, `.npy`, ...; labels are `.annot`, `.label.gii` or `.dlabel.nii`.
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
write_phantom_maps(folder, "freesurfer", n_areas=12)
hemispheres = [
    {
        "brain": "fsaverage5",
        "hemisphere": side,
        "pial": f"surf/{h}.pial",
        "white": f"surf/{h}.white",
        "sphere": f"surf/{h}.sphere",
        "cortex": f"surf/{h}.thickness",  # above 0 in cortex
        "features": [f"surf/{h}.{name}" for name in LAYER_MAPS],
        "labels": f"label/{h}.areas.annot",
    }
    for side, h in (("L", "lh"), ("R", "rh"))
]
write_text(folder / "maps.yaml", yaml.safe_dump({"name": "layers on fsaverage5", "hemispheres": hemispheres}))

# %%
# First, import: one graph and one table of features for each hemisphere.
run = folder / "run"
import_graphs(folder / "maps.yaml", run)
left, right = load_graphs(run)
surface_views(
    left.mesh, load_features(run, "maps", left)[:, 2], "L", label="thickness (mm)", title="Layer III, as imported"
)
plt.show()

# %%
# Second, areas: learnt on the left hemisphere, predicted on the right one, by a linear discriminant of surroundings.
settings = load_config(ClassifyConfig, preset("classify", "neighbour_lda"), ["split={kind: hemisphere}"])
scores = classify_run(run, "areas", settings)
print(f"macro-F1 on the right hemisphere: {scores['macro_f1_test']:.3f}")
predicted = read_table(run / "classify" / "areas" / "predictions" / f"{right.name}.parquet").columns["area"]
figure = plt.figure(figsize=(7, 5.4), layout="constrained")
top, bottom = figure.subfigures(2, 1)
surface_views(right.mesh, right.annotation, "R", table=right.labels, title="Given areas", into=top)
surface_views(right.mesh, np.asarray(predicted), "R", table=right.labels, title="Predicted areas", into=bottom)
plt.show()

# %%
# Third, parcels, without any label. Their agreement with areas stands beside that of areas rotated on the sphere:
# tilings of one mesh agree to some degree, whatever the features are.
evaluation = "evaluation={spins: 10, tilings: 2, baselines: [], stability: {splits: 0}}"
settings = load_config(ParcellateConfig, preset("parcellate", "ward"), ["n_parcels=12", evaluation])
for name, found in parcellate_run(run, "parcels", settings).items():
    print(f"{name}: AMI {found['ami']:.3f}, {found['ami_over_spin']:+.3f} above rotated areas")
parcels, table = read_labels(run / "parcellate" / "parcels" / f"{left.name}.label.gii")
table = LabelTable(table.indices, tuple(map(str, table.indices)), table.colours)  # "4" instead of "parcel 4"
surface_views(left.mesh, parcels, "L", table=table, title="Twelve parcels")
plt.show()
temporary.cleanup()
