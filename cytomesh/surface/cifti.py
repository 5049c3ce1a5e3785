"""Labels or numbers of both hemispheres in one CIFTI-2 file, as Connectome Workbench opens them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis, ScalarAxis
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.files import atomic_path
from cytomesh.core.labels import LabelTable
from cytomesh.surface.gifti import STRUCTURES


def write_cifti_labels(
    path: Path,
    labels: Mapping[str, NDArray[Any]],
    table: LabelTable,
    title: str,
    is_cortex: Mapping[str, NDArray[np.bool_]] | None = None,
) -> None:
    """Write a `.dlabel.nii`: one label per vertex, 0 as the transparent "???", as in `gifti.write_labels`.

    Parameters
    ----------
    labels : mapping from "L" and/or "R" to (n,) int
        Every vertex of the hemispheres' meshes; 0 or an index of `table`.
    title : str
        Name of the map.
    is_cortex : mapping from "L" and/or "R" to (n,) bool, optional
        Vertices that the file has; all by default.

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
    rows = {side: values[None] for side, values in labels.items()}
    _save(path, LabelAxis([title], [known]), rows, is_cortex, "LABELS")


def write_cifti_scalars(
    path: Path,
    maps: Mapping[str, Mapping[str, NDArray[Any]]],
    is_cortex: Mapping[str, NDArray[np.bool_]] | None = None,
) -> None:
    """Write a `.dscalar.nii`: numbers of vertices.

    Parameters
    ----------
    maps : mapping from "L" and/or "R" to a mapping from names to (n,) numbers
        The same names on both sides.
    is_cortex : mapping from "L" and/or "R" to (n,) bool, optional
        Vertices that the file has; all by default.

    Raises
    ------
    SurfaceError
        If there is no hemisphere, or one that is neither "L" nor "R".
    """
    names = list(next(iter(maps.values()), {}))
    rows = {side: np.stack([own[name] for name in names]) for side, own in maps.items()}
    _save(path, ScalarAxis(names), rows, is_cortex, "SCALARS")


def _save(
    path: Path,
    axis: Any,
    rows: Mapping[str, NDArray[Any]],
    is_cortex: Mapping[str, NDArray[np.bool_]] | None,
    kind: str,
) -> None:
    if not rows or not set(rows) <= set(STRUCTURES):
        raise SurfaceError(path, found=f"hemispheres {sorted(rows)}", expected="'L', 'R' or both")
    sides = sorted(rows)  # Workbench lists the left cortex first
    kept = {side: is_cortex[side] if is_cortex else np.ones(rows[side].shape[1], bool) for side in sides}
    models = [BrainModelAxis.from_mask(kept[side], name=STRUCTURES[side]) for side in sides]
    vertices = models[0] if len(models) == 1 else models[0] + models[1]
    data = np.concatenate([rows[side][:, kept[side]] for side in sides], axis=1).astype(np.float32)
    image = Cifti2Image(data, header=(axis, vertices))
    image.nifti_header.set_intent(f"NIFTI_INTENT_CONNECTIVITY_DENSE_{kind}")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
