"""
Own maps on fsaverage: areas and parcels
========================================

Surfaces, maps and labels that exist already need no sections: the three commands ``cytomesh graph import``,
``classify`` and ``parcellate`` lead to areas and parcels.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import yaml

from cytomesh import LabelTable, load_features, load_graphs, read_vertex_labels, surface_views
from cytomesh.phantom.maps import LAYER_MAPS


def cytomesh(*words: object) -> dict:
    """Run a command of the program, as typed in a shell, and return its summary."""
    command = [sys.executable, "-m", "cytomesh", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


# %%
# Maps of the thickness of six layers, and twelve simulated areas, on fsaverage5, as FreeSurfer's files. Put yours in
# their place: `lh.thickness`, `.mgh`, `.shape.gii`, `.npy`, ...; labels are `.annot`, `.label.gii` or `.dlabel.nii`.
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
cytomesh("phantom-maps", "--out", folder, "--areas", 12)
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
manifest = folder / "maps.yaml"
manifest.write_text(yaml.safe_dump({"name": "layers on fsaverage5", "hemispheres": hemispheres}))

# %%
# First, import: one graph and one table of features for each hemisphere.
run = folder / "run"
cytomesh("graph", "import", manifest, "--out", run)
left, right = load_graphs(run)
surface_views(
    left.mesh, load_features(run, "maps", left)[:, 2], "L", label="thickness (mm)", title="Layer III, as imported"
)
plt.show()

# %%
# Second, areas: learnt on the left hemisphere, predicted on the right one, by a linear discriminant of surroundings.
scores = cytomesh("classify", "--out", run, "--config", "neighbour_lda", "--set", "split={kind: hemisphere}")
print(f"macro-F1 on the right hemisphere: {scores['macro_f1_test']:.3f}")
file = run / "classify" / "areas" / f"{right.name}.label.gii"
predicted, _ = read_vertex_labels(file, right.n_nodes, "R")
figure = plt.figure(figsize=(7, 5.4), layout="constrained")
top, bottom = figure.subfigures(2, 1)
surface_views(right.mesh, right.annotation, "R", table=right.labels, title="Given areas", into=top)
surface_views(right.mesh, predicted, "R", table=right.labels, title="Predicted areas", into=bottom)
plt.show()

# %%
# Third, parcels, without any label. Their agreement with areas stands beside that of areas rotated on the sphere:
# tilings of one mesh agree to some degree, whatever the features are.
evaluation = "evaluation={spins: 10, tilings: 2, baselines: [], stability: {splits: 0}}"
options = ("--config", "ward", "--set", "n_parcels=12", "--set", evaluation)
for name, found in cytomesh("parcellate", "--out", run, *options).items():
    print(f"{name}: AMI {found['ami']:.3f}, {found['ami_over_spin']:+.3f} above rotated areas")
file = run / "parcellate" / "parcels" / f"{left.name}.label.gii"
parcels, table = read_vertex_labels(file, left.n_nodes, "L")
table = LabelTable(table.indices, tuple(map(str, table.indices)), table.colours)  # "4" instead of "parcel 4"
surface_views(left.mesh, parcels, "L", table=table, title="Twelve parcels")
plt.show()
temporary.cleanup()
