"""Labels of both hemispheres in one CIFTI-2 file, as Connectome Workbench opens them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.files import atomic_path
from cytomesh.core.labels import LabelTable
from cytomesh.surface.gifti import STRUCTURES


def write_cifti_labels(path: Path, labels: Mapping[str, NDArray[Any]], table: LabelTable, title: str) -> None:
    """Write a `.dlabel.nii`: one label per vertex, 0 as the transparent "???", as in `gifti.write_labels`.

    Parameters
    ----------
    labels : mapping from "L" and/or "R" to (n,) int
        Every vertex of the hemispheres' meshes; 0 or an index of `table`.
    title : str
        Name of the map.

    Raises
    ------
    AtlasError
        If a label is not in the table.
    SurfaceError
        If there is no hemisphere, or one that is neither "L" nor "R".
    """
    known: dict[int, tuple[str, tuple[float, ...]]] = {0: ("???", (0.0, 0.0, 0.0, 0.0))}
    known |= {index: (name, tuple(map(float, rgba))) for index, name, rgba in table.rows()}
    for hemisphere, values in labels.items():
        table.check(values, f"{path}, {hemisphere}")
    axis = LabelAxis([title], [known])
    _save(path, axis, {side: values[None] for side, values in labels.items()}, "NIFTI_INTENT_CONNECTIVITY_DENSE_LABELS")


def _save(path: Path, axis: Any, rows: Mapping[str, NDArray[Any]], intent: str) -> None:
    if not rows or not set(rows) <= set(STRUCTURES):
        raise SurfaceError(path, found=f"hemispheres {sorted(rows)}", expected="'L', 'R' or both")
    sides = sorted(rows)  # Workbench lists the left cortex first
    models = [
        BrainModelAxis.from_surface(np.arange(rows[side].shape[1]), rows[side].shape[1], name=STRUCTURES[side])
        for side in sides
    ]
    vertices = models[0] if len(models) == 1 else models[0] + models[1]
    data = np.concatenate([rows[side] for side in sides], axis=1).astype(np.float32)
    image = Cifti2Image(data, header=(axis, vertices))
    image.nifti_header.set_intent(intent)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
