"""Registration of spheres: maps that bring one pattern onto another, smooth and without folds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.spatial.transform import Rotation

from cytomesh.register.distortion import Points
from cytomesh.register.operators import Floats, Heat
from cytomesh.register.spherical import SphereLocator, exponential, icosphere, logarithm, tangent
from cytomesh.surface.mesh import Mesh, unit

DAMPING_FLOOR = 1e-2
SETTLED, N_SETTLED = 1e-3, 5
"""Ends where the difference has not fallen by this share for so many steps."""
SEARCH_DEG, FINEST_DEG, N_TURNS = 64.0, 0.5, 5


@dataclass(frozen=True)
class Grid:
    """An icosphere on which maps live, with what is differentiated and smoothed on it.

    Parameters
    ----------
    mesh : Mesh
    """

    mesh: Mesh
    _heats: dict[float, Heat] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, subdivisions: int) -> Grid:
        """Make the grid of 10 * 4^s + 2 places."""
        return cls(icosphere(subdivisions))

    @property
    def spacing(self) -> float:
        """Mean length of the edges, radians: of equilateral triangles that cover the sphere."""
        return float(np.sqrt(4.0 * np.pi / self.mesh.n_faces * 4.0 / np.sqrt(3.0)))

    @cached_property
    def shares(self) -> Floats:
        """Share of the sphere around each place, (n,)."""
        areas = self.mesh.vertex_areas
        return np.asarray(areas / areas.sum())

    @cached_property
    def locator(self) -> SphereLocator:
        """Finds places on the grid."""
        return SphereLocator(self.mesh)

    @cached_property
    def _gradient(self) -> sp.csr_matrix:
        """(3 n, n): gradient of what is linear in triangles, mean over those around a place, by area."""
        faces, points = self.mesh.faces, self.mesh.vertices
        areas, normals = self.mesh.face_areas, self.mesh.face_normals
        around = np.bincount(faces.ravel(), np.repeat(areas, 3), self.mesh.n_vertices)
        n = self.mesh.n_vertices
        rows, columns, values = [], [], []
        for corner in range(3):
            opposite = points[faces[:, (corner + 2) % 3]] - points[faces[:, (corner + 1) % 3]]
            # the gradient of a corner's hat, times the area
            hat = 0.5 * np.cross(normals, opposite)
            for where in range(3):
                for axis in range(3):
                    rows.append(axis * n + faces[:, where])
                    columns.append(faces[:, corner])
                    values.append(hat[:, axis] / around[faces[:, where]])
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return sp.csr_matrix(entries, shape=(3 * n, n))

    def gradient(self, values: Floats) -> Floats:
        """Return the tangent gradients, (n, k, 3) per radian, of (n, k) values."""
        found = (self._gradient @ values).reshape(3, *values.shape).transpose(1, 2, 0)
        away = np.einsum("nkx,nx->nk", found, self.mesh.vertices)
        return np.asarray(found - away[..., None] * self.mesh.vertices[:, None])

    def smoothed(self, values: Floats, sd: float) -> Floats:
        """Smooth (n, k) values by a Gaussian of an SD in spacings; what is factorised for that serves again."""
        if sd not in self._heats:
            self._heats[sd] = Heat(self.mesh, sd * self.spacing)
        return self._heats[sd](values)

    def standardised(self, values: Floats) -> Floats:
        """Return (n, k) values with mean 0 and SD 1 over the sphere, within 3 SD."""
        centred = values - self.shares @ values
        return np.clip(centred / np.sqrt(np.maximum(self.shares @ centred**2, 1e-24)), -3.0, 3.0)


@dataclass(frozen=True)
class Stiffness:
    """How freely a map may move.

    Parameters
    ----------
    flow, whole : float
        SDs, in spacings of the grid, with which each step and the whole displacement are smoothed.
    damping : float
        Of the Gauss-Newton steps, against the difference that is there.
    n_steps : int
        At most.
    """

    flow: float = 1.0
    whole: float = 2.0
    damping: float = 1.0
    n_steps: int = 100


def rotate(grid: Grid, own: Floats, theirs: Floats) -> Floats:
    """Return the rotation, (3, 3), after which one pattern, (n, k), is most like another on the same grid.

    All three angles are searched within 64 degrees, ever more finely.
    """
    best, least = np.eye(3), _difference(grid, grid.mesh.vertices, own, theirs)
    span = SEARCH_DEG
    while span > FINEST_DEG:
        around = best
        steps = np.linspace(-span, span, N_TURNS)
        for angles in np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3):
            turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ around
            difference = _difference(grid, grid.mesh.vertices @ turn.T, own, theirs)
            if difference < least:
                best, least = turn, difference
        span /= 2.0
    return best


def _difference(grid: Grid, places: Points, own: Floats, theirs: Floats) -> float:
    return float(grid.shares @ ((grid.locator.interpolate(places, theirs) - own) ** 2).sum(axis=1))


def demons(
    grid: Grid, start: Points, rotation: Floats, own: Floats, theirs: Floats, stiffness: Stiffness
) -> tuple[Points, list[float]]:
    """Improve a map of the sphere by Spherical Demons.

    Each step is Gauss-Newton's for the squared differences at each place, damped, with the mean of both patterns'
    gradients; it is smoothed, followed as a flow (scaling and squaring, so that it does not fold), and then the whole
    displacement is smoothed (Yeo, Sabuncu, Vercauteren et al., Spherical Demons: fast diffeomorphic landmark-free
    surface registration, IEEE TMI 29, 2010, with the elastic prior by smoothing of Vercauteren et al., NeuroImage 45,
    2009).

    Parameters
    ----------
    grid : Grid
    start : (n, 3) float64
        Where on the other's sphere each place of the grid comes to lie: unit vectors.
    rotation : (3, 3) float64
        Displacements are measured from the rotated grid.
    own, theirs : (n, k) float64
        Patterns, of the same mean and SD.
    stiffness : Stiffness

    Returns
    -------
    places : (n, 3) float64
    differences : list of float
        Mean squared, before each step.
    """
    here, places = grid.mesh.vertices, start
    turned = here @ rotation.T
    own_gradient = grid.gradient(own)
    differences: list[float] = []
    best, n_stale = np.inf, 0
    for _ in range(stiffness.n_steps):
        seen = grid.locator.interpolate(places, theirs)
        residual = seen - own
        squares = (residual**2).sum(axis=1)
        differences.append(float(grid.shares @ squares))
        if differences[-1] < best * (1.0 - SETTLED):
            best, n_stale = differences[-1], 0
        else:
            n_stale += 1
        if n_stale == N_SETTLED:
            break
        slope = 0.5 * (grid.gradient(seen) + own_gradient)  # (n, k, 3)
        hessian = np.einsum("nkx,nky->nxy", slope, slope)
        damping = stiffness.damping * np.maximum(squares, DAMPING_FLOOR) / grid.spacing**2
        hessian += damping[:, None, None] * np.eye(3)
        step = -np.linalg.solve(hessian, np.einsum("nkx,nk->nx", slope, residual)[..., None])[..., 0]
        step = tangent(here, grid.smoothed(tangent(here, step), stiffness.flow))
        moved = logarithm(turned, followed(grid, places, step))
        places = exponential(turned, tangent(turned, grid.smoothed(moved, stiffness.whole)))
    return places, differences


def followed(grid: Grid, places: Points, flow: Points) -> Points:
    """Return a map after the flow of a velocity: half an edge at most at once, then doubled."""
    furthest = float(np.linalg.norm(flow, axis=1).max())
    n_doublings = max(0, int(np.ceil(np.log2(max(furthest / (0.5 * grid.spacing), 1e-9)))))
    steps = exponential(grid.mesh.vertices, flow / 2**n_doublings)
    for _ in range(n_doublings):
        steps = unit(grid.locator.interpolate(steps, steps))
    return unit(grid.locator.interpolate(steps, places))
