"""fsaverage5 as nilearn packages it (Fischl, Sereno and Dale 1999): nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nibabel as nib
import numpy as np

from cytomesh.core.errors import PackageError, SurfaceError
from cytomesh.surface.mesh import Mesh


def fsaverage5(hemisphere: str) -> dict[str, Mesh]:
    """Return `pial`, `white`, their `midthickness` and `sphere` (radius 100) of a hemisphere, 10,242 vertices; mm.

    Raises
    ------
    PackageError, SurfaceError
        If nilearn, or its data, is not installed.
    """
    # find_spec instead of an import: nilearn's own loader pulls in pandas and scikit-learn, seconds in each process
    spec = importlib.util.find_spec("nilearn")
    if spec is None:
        hint = "pip install 'cytomesh[phantom]'"
        raise PackageError("nilearn", found="a package that is not installed", hint=hint)
    side = {"L": "left", "R": "right"}[hemisphere]
    folder = Path(spec.origin or ".").parent / "datasets" / "data" / "fsaverage5"
    surfaces = {}
    for kind in ("pial", "white", "sphere"):
        path = folder / f"{kind}_{side}.gii.gz"
        if not path.is_file():
            raise SurfaceError(
                path, found="no such file", expected="nilearn's packaged fsaverage5", hint="reinstall nilearn"
            )
        points, faces = (np.asarray(array.data) for array in nib.load(path).darrays)
        surfaces[kind] = Mesh(points, faces)
    pial, white = surfaces["pial"], surfaces["white"]
    surfaces["midthickness"] = Mesh((pial.vertices + white.vertices) / 2.0, pial.faces)
    return surfaces
