"""
Profiles along depth
====================

The staining of the cortex from pial to white, at equal shares of the cortex's volume: what is read of an image before
any encoder is trained, and what an encoder has to be better than.
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
from nilearn.datasets import load_fsaverage

from cytomesh import load_features, load_graphs, read_any_surface, surface_views
from cytomesh.phantom.profiles import LAYERS


def cytomesh(*words: object) -> dict:
    """Run a command of the program, as typed in a shell, and return its summary."""
    command = [sys.executable, "-m", "cytomesh", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


# %%
# A simulated hemisphere, cut every 16 mm, at 60 µm/px. Its surfaces are known: named in the manifest, at the 10,242
# vertices of fsaverage5, they become the graph, and nothing is rebuilt from contours.
changes = ["brains=[{id: B01, role: train}]", "areas={count: 12, pmap_mm: 6}", "geometry.transform_mm=15"]
changes += ["sections={um_per_px: 60, annotation_um_per_px: 240, truth_um_per_px: 240, spacing_mm: 16}"]
changes += ["artefacts={missing: 0, torn: 0, gradient: 0}"]
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
options = [word for change in changes for word in ("--set", change)]
cytomesh("phantom", "--out", folder, "--workers", 1, "--no-baselines", *options)
faces = load_fsaverage("fsaverage5")["pial"].parts["left"].faces
own = {}
for kind in ("pial", "white", "midthickness"):
    vertices = read_any_surface(folder / f"truth/sub-B01/hemi-L_{kind}.surf.gii").vertices
    own[kind] = f"lh.{kind}"
    nib.freesurfer.write_geometry(folder / own[kind], vertices[:10_242], faces)
manifest = yaml.safe_load((folder / "study.yaml").read_text())
manifest["brains"][0]["surfaces"] = {"L": own}
(folder / "study.yaml").write_text(yaml.safe_dump(manifest))

run = folder / "run"
cytomesh("build-graph", folder / "study.yaml", "--out", run, "--workers", 1)
cytomesh("profiles", "--out", run, "--set", "um_per_px=60")
(graph,) = load_graphs(run)
profiles = load_features(run, "profiles", graph)
print(f"{int(graph.is_linked.sum()):,} profiles of {profiles.shape[1]} samples")

# %%
# Mean profiles of four areas, and where the layers lie that they were drawn with. Dark is much stained: cell bodies.
layers = json.loads((folder / "truth" / "profiles.json").read_text())
depth = (np.arange(profiles.shape[1]) + 0.5) / profiles.shape[1]
figure, panels = plt.subplots(1, 4, figsize=(8, 3.6), sharex=True, sharey=True, layout="constrained")
counts = np.bincount(graph.annotation[graph.is_linked], minlength=13)
for panel, area in zip(panels, np.argsort(-counts[1:])[:4] + 1, strict=True):
    rows = profiles[graph.is_linked & (graph.annotation == area)]
    mean, sd = rows.mean(0), rows.std(0)
    panel.fill_betweenx(depth, mean - sd, mean + sd, color="#56b4e9", alpha=0.4, label="mean ± SD")
    panel.plot(mean, depth, color="#0072b2")
    name = graph.labels.name(int(area))
    top = 0.0
    for layer in LAYERS:
        bottom = top + layers[name][layer]["thickness"]
        panel.axhline(bottom, color="0.6", lw=0.6)
        panel.text(0.97, (top + bottom) / 2, layer, transform=panel.get_yaxis_transform(), ha="right", va="center")
        top = bottom
    panel.set_title(f"{name}, {len(rows):,} nodes", fontsize="medium")
panels[0].set(ylabel="depth (0 pial, 1 white)", ylim=(1, 0))
panels[0].legend(loc="lower left", fontsize="x-small")
figure.supxlabel("grey value (0 black, 255 white)")
plt.show()

# %%
# One number of each profile on the surface. A node takes its profile from the nearest section, so that values change in
# steps, and stain that differs between sections shows as stripes.
surface_views(
    graph.mesh,
    profiles[:, :6].mean(1) - profiles[:, -6:].mean(1),
    "L",
    label="grey values",
    title="Outer minus inner third",
)
plt.show()
temporary.cleanup()
