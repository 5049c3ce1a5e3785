"""Closed bodies whose spheres, curvatures and patterns are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.mesh import Mesh, unit
from tests.conftest import sphere_mesh

Floats = NDArray[np.float64]


def directions(n: int, seed: int = 0) -> Floats:
    return unit(np.random.default_rng(seed).normal(size=(n, 3)))


def ball(subdivisions: int = 3) -> Mesh:
    return sphere_mesh(subdivisions, radius_mm=1.0)


def ellipsoid(subdivisions: int = 3) -> Mesh:
    """Longest from front to back, flattest from side to side, mm."""
    return Mesh(ball(subdivisions).vertices * [30.0, 60.0, 40.0], ball(subdivisions).faces)


def bumps(places: Floats, n: int = 40, sharpness: float = 20.0, seed: int = 0) -> Floats:
    """A smooth pattern without symmetry at (m, 3) unit vectors: (m,), about -1 to 1."""
    rng = np.random.default_rng(seed)
    hills = np.exp(sharpness * (places @ directions(n, seed).T - 1.0)) @ rng.choice([-1.0, 1.0], n)
    return np.asarray(hills)


def bumpy(subdivisions: int = 3, depth: float = 0.25, seed: int = 0) -> Mesh:
    """A lopsided ellipsoid with hills and valleys, mm."""
    base = ball(subdivisions)
    lopsided = 1.0 + depth * bumps(base.vertices, seed=seed) + 0.1 * base.vertices[:, [1]].ravel()
    return Mesh(base.vertices * lopsided[:, None] * [30.0, 60.0, 40.0], base.faces)


def warped(places: Floats, degrees: float = 8.0, seed: int = 5) -> Floats:
    """A smooth map of the sphere, one to one, that moves places by so many degrees at most."""
    slope = np.zeros_like(places)
    for centre, sign in zip(directions(6, seed), (1, -1) * 3, strict=True):
        bump = np.exp(3.0 * (places @ centre - 1.0))[:, None]
        slope += sign * bump * np.cross(centre, places) + 0.5 * sign * bump * (centre - places)
    slope -= (slope * places).sum(1, keepdims=True) * places
    return unit(places + np.tan(np.radians(degrees)) * slope / np.linalg.norm(slope, axis=1).max())


def degrees_between(one: Floats, other: Floats) -> Floats:
    return np.degrees(2.0 * np.arcsin(np.clip(np.linalg.norm(unit(one) - unit(other), axis=1) / 2.0, 0.0, 1.0)))
