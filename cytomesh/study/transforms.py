"""From a brain's world space to the reference space: an affine, after an optional displacement field."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cytomesh.core.errors import TransformError
from cytomesh.core.files import atomic_path
from cytomesh.study.manifest import FieldConvention, TransformConfig
from cytomesh.study.nifti import Nifti, open_nifti

MAX_ITERATIONS = 100
TOLERANCE_MM = 1e-6
# Intents of the NIfTI standard. Displacement vectors and vectors: ITK, ANTs (LPS), SPM (positions), and others.
VECTOR_INTENTS = (1006, 1007)
# FNIRT's fields and spline coefficients, and those of topup.
FSL_INTENTS = range(2006, 2019)


@dataclass(frozen=True, slots=True)
class DisplacementField:
    """Displacements in mm (RAS) on a regular grid in a brain's world space.

    Parameters
    ----------
    values : (i, j, k, 3) float
        Displacement at each grid point, mm.
    affine : (4, 4) float64
        Grid indices to world, mm.
    """

    values: NDArray[np.floating]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.values.shape[3] != 3 or not np.isfinite(self.values).all():
            raise TransformError(
                "displacement field", found=f"shape {self.values.shape}", expected="(i, j, k, 3), finite"
            )
        _check_affine("displacement field", self.affine)

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return displacements (n, 3) at (n, 3) world positions: trilinear, fading to zero outside the grid."""
        inverse = np.linalg.inv(self.affine)
        grid = (points @ inverse[:3, :3].T + inverse[:3, 3]).T
        parts = [map_coordinates(self.values[..., i], grid, order=1, mode="grid-constant", cval=0.0) for i in range(3)]
        return np.stack(parts, axis=1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class ReferenceTransform:
    """Map a brain's world positions to the reference space: reference = affine @ (p + displacement(p)).

    Parameters
    ----------
    affine : (4, 4) float64
        Last row (0, 0, 0, 1); mm, RAS on both sides.
    displacement : DisplacementField or None
        Defined on the brain's world space.

    Raises
    ------
    TransformError
        If the affine is not 4 x 4, finite and invertible.
    """

    affine: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    displacement: DisplacementField | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine", np.asarray(self.affine, np.float64))
        _check_affine("to_reference.affine", self.affine)

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) world positions in mm to (n, 3) reference positions in mm."""
        points = np.asarray(points, np.float64)
        if self.displacement is not None:
            points = points + self.displacement.at(points)
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def invert(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) reference positions back to world positions, mm.

        The displacement is inverted by the fixed-point iteration p <- q - d(p), which converges where the
        displacement changes by less than 1 mm a mm (any field without folds that is not extreme).

        Raises
        ------
        TransformError
            If the iteration does not converge.
        """
        inverse = np.linalg.inv(self.affine)
        start = np.asarray(points, np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
        if self.displacement is None:
            return start
        current = start
        for _ in range(MAX_ITERATIONS):
            following = start - self.displacement.at(current)
            step = np.linalg.norm(following - current, axis=1)
            current = following
            if step.max(initial=0.0) < TOLERANCE_MM:
                return current
        raise TransformError(
            "displacement field",
            found=f"no inverse at {int((step >= TOLERANCE_MM).sum())} of {len(step)} positions",
            expected="a field that does not fold (changes by less than 1 mm a mm)",
            hint="smooth the field, or split it into smaller steps",
        )


def load_transform(settings: TransformConfig, folder: Path) -> ReferenceTransform:
    """Make a brain's transform from the manifest; files are relative to `folder`.

    Raises
    ------
    TransformError
        If the affine is singular or the displacement field is missing, unreadable or malformed.
    """
    displacement = None
    if settings.displacement is not None:
        displacement = read_displacement(folder / settings.displacement, settings.convention)
    return ReferenceTransform(np.array(settings.affine, np.float64), displacement)


def read_displacement(path: Path, convention: FieldConvention | None = None) -> DisplacementField:
    """Read a NIfTI displacement field, (x, y, z, 3) or (x, y, z, 1, 3), mm.

    Parameters
    ----------
    convention : {"ras", "itk", "spm"} or None
        What the numbers are, see `TransformConfig`; None: RAS, unless the file is of an intent that says otherwise.

    Raises
    ------
    TransformError
        If the file is missing, damaged, not of this shape or unit, or if its header or its values contradict the
        convention.
    """
    field = open_field(path, missing="no such file", hint="correct to_reference.displacement")
    if convention is None and field.intent in VECTOR_INTENTS:
        hint = "state to_reference.convention: itk (ANTs), spm, or ras"
        found = f"a field of vectors (intent {field.intent}) of an unknown program"
        raise TransformError(path, found=found, expected="what its numbers are", hint=hint)
    shape = field.shape[:3] + field.shape[4:] if len(field.shape) == 5 and field.shape[3] == 1 else field.shape
    if len(shape) != 4 or shape[3] != 3:
        raise TransformError(path, found=f"shape {field.shape}", expected="(x, y, z, 3) or (x, y, z, 1, 3)")
    values = field.read(np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise TransformError(path, found="displacements that are not finite", expected="numbers in mm")
    if convention == "itk":
        values = values * np.array((-1, -1, 1), np.float32)
    grid = np.stack(np.meshgrid(*map(np.arange, shape[:3]), indexing="ij"), axis=-1)
    positions = (grid @ field.affine[:3, :3].T + field.affine[:3, 3]).astype(np.float32)
    # positions are near the grid's own, displacements near zero
    holds_positions = float(np.abs(values - positions).mean()) < 0.5 * float(np.abs(values).mean())
    if holds_positions != (convention == "spm"):
        found = "positions in mm" if holds_positions else "displacements, or positions far from the brain's"
        expected = "displacements" if holds_positions else "positions in the reference space (convention: spm)"
        hint = "correct to_reference.convention: spm for positions (y_ files), ras or itk for displacements"
        raise TransformError(path, found=found, expected=expected, hint=hint)
    return DisplacementField(values - positions if holds_positions else values, field.affine)


def open_field(path: Path, *, missing: str, hint: str) -> Nifti:
    """Open a file of displacements; those whose numbers are of no unit or frame that is known are refused.

    Raises
    ------
    TransformError
        If it is missing or damaged, of FSL (whose fields count in the voxels of a volume that they do not name), or
        in another unit than mm.
    """
    field = open_nifti(path, TransformError, missing=missing, hint=hint)
    if field.intent in FSL_INTENTS:
        found = f"a field of FSL (intent {field.intent}), relative to the voxels of another volume"
        way_out = "wb_command -convert-warpfield -from-fnirt FIELD SOURCE_VOLUME -to-world OUT.nii.gz"
        raise TransformError(path, found=found, expected="displacements in mm", hint=f"convert it: {way_out}")
    if field.unit not in ("mm", "unknown"):
        expected = "mm, for the grid and the displacements"
        raise TransformError(path, found=f"unit {field.unit}", expected=expected, hint="write the field in mm")
    return field


def write_displacement(path: Path, displacement: DisplacementField) -> None:
    """Write a displacement field as NIfTI (x, y, z, 3), RAS, mm."""
    image = nib.Nifti1Image(displacement.values.astype(np.float32), displacement.affine)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def _check_affine(source: str, affine: NDArray[np.float64]) -> None:
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise TransformError(source, found=f"shape {affine.shape}", expected="4 x 4 finite numbers")
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        raise TransformError(
            source, found=f"last row {affine[3].tolist()}", expected="0, 0, 0, 1", hint="give rows, not columns"
        )
    condition = np.linalg.cond(affine[:3, :3])
    if not condition < 1e8:
        raise TransformError(
            source, found=f"a singular matrix (condition number {condition:.3g})", expected="an invertible one"
        )
