"""cat-surf (GPL-2) as a peer, in a process of its own.

`pip install --target FOLDER --no-deps cat-surf` and `CYTOMESH_CAT_SURF=FOLDER`; it is never imported by cytomesh.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import last_json
from cytomesh.surface.mesh import Mesh

FOLDER = "CYTOMESH_CAT_SURF"
LACKING = f"cat-surf, and {FOLDER} is not set"
CODE = """
import json, sys, time
import numpy as np
import cat_surf
with np.load(sys.argv[1]) as data:
    arrays = {name: data[name] for name in data.files}
mesh = lambda name: (arrays[name], arrays[name + "_faces"])
start = time.process_time()
if "target" in arrays:
    found, _ = cat_surf.spherical_demon(mesh("surface"), mesh("sphere"), mesh("target"), mesh("target_sphere"))
else:
    found, _ = cat_surf.surf_to_sphere(*mesh("surface"), stop_at=5, relax=bool(arrays["relax"]))
np.save(sys.argv[2], found)
print(json.dumps({"cpu_s": time.process_time() - start}))
"""


def is_there() -> bool:
    """Return whether the peer can be run."""
    return FOLDER in os.environ


def sphere(surface: Mesh, *, relax: bool) -> tuple[NDArray[np.float64], float]:
    """Return cat-surf's sphere of a surface, (n, 3), and its processor seconds."""
    return _run({"surface": surface}, relax=relax)


def register(surface: Mesh, own: Mesh, target: Mesh, theirs: Mesh) -> tuple[NDArray[np.float64], float]:
    """Return where cat-surf's Spherical Demons (defaults) bring a sphere, (n, 3), and its processor seconds."""
    return _run({"surface": surface, "sphere": own, "target": target, "target_sphere": theirs})


def _run(meshes: dict[str, Mesh], *, relax: bool = False) -> tuple[NDArray[np.float64], float]:
    arrays: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {"relax": np.array([relax], np.int32)}
    for name, mesh in meshes.items():
        arrays |= {name: mesh.vertices, f"{name}_faces": np.ascontiguousarray(mesh.faces, np.int32)}
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npy"
        np.savez(given, **arrays)  # type: ignore[arg-type]
        environment = {**os.environ, "PYTHONPATH": os.environ[FOLDER], "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(given), str(found)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return np.load(found), float(last_json(done.stdout)["cpu_s"])
