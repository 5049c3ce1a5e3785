"""A classified volume (grey and white matter) cut into sections: contours, section table and manifest of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.core.errors import StudyError
from cytomesh.core.progress import track
from cytomesh.study.contour_formats.features import CORNER
from cytomesh.study.contour_formats.masks import mask_polygons
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.manifest import BrainConfig, Hemisphere, Manifest, SpaceConfig, write_manifest
from cytomesh.study.nifti import open_nifti
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections

AXES = ("sagittal", "coronal", "axial")
# The two axes of a cut, columns and rows, by the axis along which is cut: to the right or front, and downwards.
IN_PLANE = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
NAME = "sections.tsv"


@dataclass(frozen=True, slots=True)
class VolumeCut:
    """How a volume is cut.

    Parameters
    ----------
    axis : {0, 1, 2}
        Axis nearest to x (sagittal cuts), y (coronal) or z (axial), whatever the order in the file.
    grey, white : tuple of int
        Labels of grey and of white matter (and of what is inside it, such as ventricles).
    every : int
        Take every n-th plane.
    midline_mm : float
        World x that separates the hemispheres: what is below is left.
    brain : str
        Id of the brain in the study.
    """

    axis: int
    grey: tuple[int, ...]
    white: tuple[int, ...]
    every: int = 1
    midline_mm: float = 0.0
    brain: str = "B01"


def cut_volume(path: Path, cut: VolumeCut, out: Path) -> Path:
    """Write one GeoJSON a plane, `sections.tsv` and `study.yaml` under `out`; returns the manifest.

    Planes from the first with tissue to the last are written, and an empty one beyond either end where the volume
    has it: it says where the cortex ends. Pixels are isotropic, of the finer in-plane step; boundaries are sub-pixel.

    Raises
    ------
    StudyError
        If the volume cannot be read, is not of whole labels in three dimensions, or lacks a label.
    """
    labels, affine = _read(path)
    if cut.axis not in IN_PLANE or cut.every < 1:
        raise StudyError(path, found=f"axis {cut.axis}, every {cut.every}", expected="axis 0, 1 or 2; every 1 or more")
    _check_labels(path, labels, cut)
    planes = _chosen_planes(labels, cut)
    sides = np.sign(_world_x(affine, labels.shape) - cut.midline_mm)
    sections = []
    for number, k in enumerate(track(planes, "Cut planes", unit="planes"), start=1):
        plane, scale = _plane(affine, cut.axis, k, labels.shape)
        rows = _image(labels, cut.axis, k)
        is_left = _image(sides, cut.axis, k) < 0
        contours = {
            side: HemisphereContours(
                _region(path, np.isin(rows, (*cut.grey, *cut.white)) & half, scale),
                _region(path, np.isin(rows, cut.white) & half, scale),
            )
            for side, half in (("L", is_left), ("R", ~is_left))
        }
        file = out / "contours" / f"{AXES[cut.axis]}_{k:04d}.geojson"
        write_contours(file, SectionContours(contours))
        um = 1000 * float(np.linalg.norm(plane.to_world[:, 0]))
        sections.append(Section(cut.brain, number, None, um, plane, file))
    write_sections(out / NAME, sections)
    tissue = np.isin(labels, (*cut.grey, *cut.white))
    is_there: dict[Hemisphere, bool] = {
        "L": bool((tissue & (sides < 0)).any()),
        "R": bool((tissue & (sides >= 0)).any()),
    }
    manifest = Manifest(
        name=path.name.split(".")[0],
        species="unknown",
        stain="none (classified volume)",
        space=SpaceConfig(name="native"),
        brains=[
            BrainConfig(
                id=cut.brain,
                role="train",
                hemispheres=tuple(side for side, there in is_there.items() if there),
                sections=Path(NAME),
            )
        ],
    )
    write_manifest(out / "study.yaml", manifest)
    return out / "study.yaml"


def _read(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels with axes nearest to x, y, z, and their affine."""
    volume = open_nifti(path, StudyError, missing="no such volume")
    data = volume.read()
    data = data[..., 0] if data.ndim == 4 and data.shape[3] == 1 else data
    is_whole = data.dtype.kind in "iu" or (np.isfinite(data).all() and (data == np.round(data)).all())
    if data.ndim != 3 or not is_whole:
        found = f"shape {data.shape}, {data.dtype}"
        raise StudyError(
            path, found=found, expected="three dimensions of whole labels", hint="give a classified volume"
        )
    turns = nib.io_orientation(volume.affine)
    upright = nib.orientations.apply_orientation(data, turns).astype(np.int64)
    return upright, volume.affine @ nib.orientations.inv_ornt_aff(turns, data.shape)


def _check_labels(path: Path, labels: NDArray[np.int64], cut: VolumeCut) -> None:
    there = set(np.unique(labels).tolist())
    missing = [value for value in (*cut.grey, *cut.white) if value not in there]
    if missing or not cut.grey:
        raise StudyError(
            path,
            found=f"no voxel of label {', '.join(map(str, missing))}" if missing else "no label of grey matter",
            expected=f"labels that the volume has: {sorted(there)[:20]}",
            hint="correct --gm and --wm",
        )
    both = sorted(set(cut.grey) & set(cut.white))
    if both:
        raise StudyError(path, found=f"labels {both} as grey and as white matter", hint="correct --gm and --wm")


def _chosen_planes(labels: NDArray[np.int64], cut: VolumeCut) -> Sequence[int]:
    tissue = np.isin(labels, (*cut.grey, *cut.white))
    filled = np.flatnonzero(tissue.any(axis=tuple(i for i in range(3) if i != cut.axis)))
    first, last = int(filled[0]), int(filled[-1])
    inside = range(first, last + 1, cut.every)
    return [k for k in (first - 1, *inside, max(last, inside[-1]) + 1) if 0 <= k < labels.shape[cut.axis]]


def _world_x(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    i, j, k = (np.arange(n, dtype=np.float64) for n in shape)
    x: NDArray[np.float64] = (
        affine[0, 0] * i[:, None, None] + affine[0, 1] * j[:, None] + affine[0, 2] * k + affine[0, 3]
    )
    return x


def _image(volume: NDArray[Any], axis: int, k: int) -> NDArray[Any]:
    """Return plane k as an image (rows, columns), the last row of the volume on top."""
    plane = np.take(volume, k, axis=axis)
    return plane.T[::-1]


def _plane(
    affine: NDArray[np.float64], axis: int, k: int, shape: tuple[int, ...]
) -> tuple[SectionPlane, NDArray[np.float64]]:
    """Return the plane of cut k with isotropic pixels, and pixels per voxel along columns and rows."""
    column, row = IN_PLANE[axis]
    steps = affine[:3, [column, row]] * (1.0, -1.0)
    lengths = np.linalg.norm(steps, axis=0)
    scale = lengths / lengths.min()
    corner = np.zeros(3)
    corner[axis], corner[row] = k, shape[row] - 1
    origin = affine[:3, :3] @ corner + affine[:3, 3]
    # corners of voxels and pixels coincide, not their centres
    steps = steps / scale
    origin = origin + steps @ (CORNER - CORNER * scale)
    return SectionPlane(np.column_stack([steps, origin])), scale


def _region(path: Path, mask: NDArray[np.bool_], scale: NDArray[np.float64]) -> MultiPolygon:
    polygons = [Polygon(rings[0], rings[1:]) for rings in mask_polygons(path, mask, 1.0)]
    return MultiPolygon([shapely.transform(polygon, lambda points: points * scale - CORNER) for polygon in polygons])
