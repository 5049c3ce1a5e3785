"""Where the planes of sections lie along the stack, and those that are not where their number says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.study.planes import plane_normal

if TYPE_CHECKING:
    from cytomesh.study.sections import Section

# No microtome cuts thinner.
SAME_PLANE_MM = 1e-5
# Registration tilts sections by degrees; one that is turned further is of another series, or its matrix is wrong.
MAX_TILT_DEG = 45.0


def positions(sections: list[Section] | tuple[Section, ...]) -> NDArray[np.float64]:
    """Return (n,) positions of planes along the stack's axis (the mean normal), mm."""
    return plane_positions(np.array([section.plane.to_world for section in sections]).reshape(-1, 3, 3))


def plane_positions(to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) positions along the stack's axis of planes given as (n, 3, 3) matrices, mm."""
    if not len(to_world):
        return np.empty(0)
    normals = np.array([plane_normal(matrix) for matrix in to_world])
    axis = (normals * np.sign(normals @ normals[0])[:, None]).mean(axis=0)
    axis /= np.linalg.norm(axis)
    return to_world[:, :, 2] @ axis


def check_order(path: Path, sections: list[Section]) -> list[CytomeshError]:
    """Find sections whose plane is not where their number says: positions must rise or fall with the index.

    Planes that lie across those of most sections are reported as such, and not compared.
    """
    if len(sections) < 2:
        return []
    tilts = _tilts(sections)
    across = [_across(path, sections[i], tilts[i]) for i in np.flatnonzero(tilts > MAX_TILT_DEG)]
    return [*across, *_check_positions(path, [sections[i] for i in np.flatnonzero(tilts <= MAX_TILT_DEG)])]


def _tilts(sections: list[Section]) -> NDArray[np.float64]:
    """Return (n,) angles in degrees of the planes to the one of them that is most parallel to all."""
    normals = np.array([section.plane.normal for section in sections])
    # the sum of squared cosines to all planes, without the matrix of all pairs
    parallel = np.einsum("ij,jk,ik->i", normals, normals.T @ normals, normals)
    return np.degrees(np.arccos(np.abs(normals @ normals[parallel.argmax()]).clip(0, 1)))


def _across(path: Path, section: Section, tilt: float) -> StudyError:
    return StudyError(
        path,
        f"section {section.index}, to_world",
        found=f"a plane at {tilt:.0f} degrees to those of the other sections",
        expected=f"at most {MAX_TILT_DEG:g} degrees: one series of sections",
        hint="to_world is row by row: step per column, step per row and origin are its columns",
    )


def _check_positions(path: Path, sections: list[Section]) -> list[CytomeshError]:
    if len(sections) < 2:
        return []
    ordered = sorted(sections, key=lambda section: section.index)
    offsets = positions(ordered)
    steps = np.diff(offsets)
    direction = 1.0 if np.median(steps) >= 0 else -1.0
    problems: list[CytomeshError] = []
    for i in np.flatnonzero(steps * direction <= 0):
        before, after = ordered[i], ordered[i + 1]
        problems.append(
            StudyError(
                path,
                f"sections {before.index} and {after.index}, to_world",
                found=f"one plane twice ({offsets[i]:.4f} mm)"
                if abs(steps[i]) < SAME_PLANE_MM
                else f"plane positions out of order: {offsets[i]:.4f} mm, then {offsets[i + 1]:.4f} mm",
                expected=f"positions that {'rise' if direction > 0 else 'fall'} with the section number",
                hint="correct the origin (3rd, 6th and 9th number of to_world) or the section number",
            )
        )
    return problems
