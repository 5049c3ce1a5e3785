"""A sphere brought onto another's, coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from cytomesh.register.demons import Grid, Stiffness, demons, rotate
from cytomesh.register.distortion import Points
from cytomesh.register.folding import depth_potential
from cytomesh.register.operators import Floats
from cytomesh.register.spherical import SphereLocator
from cytomesh.surface.mesh import Mesh, unit

Pattern = tuple[Floats, ...]
"""What is compared in each stage, (n, k) on the stage's grid."""
grid_of = lru_cache(maxsize=None)(Grid.of)


@dataclass(frozen=True)
class Stage:
    """One grid, and the scale of the folding that is compared on it.

    Parameters
    ----------
    subdivisions : int
        Of the icosphere.
    length : float
        Of the depth potential, in spacings of the grid on a sphere of the surface's area.
    weights : tuple of float
        Of what else is compared beside folding, one per column.
    """

    subdivisions: int
    length: float
    weights: tuple[float, ...] = ()


STAGES = (Stage(3, 2.3), Stage(4, 2.3), Stage(5, 3.2), Stage(5, 1.2))
"""Lobes, then folds, then their shapes. For a human hemisphere 32, 16, 11 and 4 mm."""


@dataclass(frozen=True)
class Warp:
    """A smooth map of a sphere to another, one to one.

    Parameters
    ----------
    subdivisions : int
        Of the grid on the one sphere.
    places : (n, 3) float64
        Unit vectors: where each place of the grid comes to lie on the other.
    """

    subdivisions: int
    places: Points

    @property
    def grid(self) -> Grid:
        """The grid on the one sphere."""
        return grid_of(self.subdivisions)

    def __call__(self, directions: Points) -> Points:
        """Carry (n, 3) directions over: unit vectors."""
        return unit(self.grid.locator.interpolate(unit(directions), self.places))

    @cached_property
    def _back(self) -> SphereLocator:
        return SphereLocator(Mesh(self.places, self.grid.mesh.faces))

    def inverse(self, directions: Points) -> Points:
        """Carry (n, 3) directions back: unit vectors."""
        return unit(self._back.interpolate(unit(directions), self.grid.mesh.vertices))


def pattern_of(surface: Mesh, sphere: Mesh, stages: Sequence[Stage] = STAGES, further: Floats | None = None) -> Pattern:
    """Return what a registration compares of a hemisphere: the folding of its surface, and more where stages say so.

    Parameters
    ----------
    surface, sphere : Mesh
        The same faces.
    stages : sequence of Stage
    further : (n, k) float64, optional
        Of the vertices, for stages that have weights.
    """
    radius = np.sqrt(surface.area_mm2 / (4.0 * np.pi))
    lengths = [stage.length * grid_of(stage.subdivisions).spacing * radius for stage in stages]
    depths = depth_potential(surface, lengths)
    locator = SphereLocator(sphere)
    found = []
    for stage, depth in zip(stages, depths.T, strict=True):
        values = depth[:, None] if further is None or not stage.weights else np.column_stack([depth, further])
        found.append(_on_grid(grid_of(stage.subdivisions), locator, values))
    return tuple(found)


def _on_grid(grid: Grid, locator: SphereLocator, values: Floats) -> Floats:
    """Bring (m, k) values of a spherical mesh's vertices to a grid, smoothed by its spacing and standardised."""
    return grid.standardised(grid.smoothed(locator.interpolate(grid.mesh.vertices, values), 1.0))


def warp_onto(
    own: Pattern,
    theirs: Pattern,
    stiffness: Stiffness,
    stages: Sequence[Stage] = STAGES,
    *,
    n_stages: int | None = None,
) -> tuple[Warp, list[dict[str, float]]]:
    """Find the map that brings one pattern onto another: a rotation, then Spherical Demons from coarse to fine.

    Parameters
    ----------
    own, theirs : Pattern
    stiffness : Stiffness
    n_stages : int, optional
        Only the first ones.

    Returns
    -------
    warp : Warp
    record : list of dict
        Of each stage: `grid` (number of places), `steps`, and the mean squared difference in SDs `before` and `after`.
    """
    grid = grid_of(stages[0].subdivisions)
    rotation = rotate(grid, own[0], theirs[0])
    warp = Warp(stages[0].subdivisions, grid.mesh.vertices @ rotation.T)
    record = []
    for stage, mine, other in list(zip(stages, own, theirs, strict=True))[:n_stages]:
        grid = grid_of(stage.subdivisions)
        scale = np.sqrt([1.0, *stage.weights])
        places, differences = demons(grid, warp(grid.mesh.vertices), rotation, scale * mine, scale * other, stiffness)
        warp = Warp(stage.subdivisions, places)
        record.append(
            {
                "grid": float(grid.mesh.n_vertices),
                "steps": float(len(differences)),
                "before": differences[0],
                "after": differences[-1],
            }
        )
    return warp, record
