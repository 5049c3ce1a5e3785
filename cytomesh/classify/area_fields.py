"""Areas of labelled brains on the registered sphere: how probable each is at each place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.graph.neighbourhoods import Floats, Mask
from cytomesh.register.warp import grid_of

SUBDIVISIONS = 6
"""Of the icosphere that areas are kept on: 40,962 places, 1.1 degrees (1.7 mm in a human hemisphere) apart."""
STEP_DEG = 1.0
"""SD of one step of smoothing; n of them have the square root of n times this."""
WIDTHS = (1.0, 2.0, 3.0, 4.0, 6.0)
"""SDs in degrees that are compared; the last one is also what a narrower one falls back on."""
CUT_SD = 3.0
FALL_BACK = 0.05
"""Weight of the widest field, against that of a brain labelled everywhere around; and of the areas' shares in that."""


@dataclass(frozen=True, slots=True)
class AreaFields:
    """The areas of labelled brains, smoothed, each brain for itself.

    Parameters
    ----------
    by_width : dict of float to (b, g, k) float32
        By SD in degrees: how much of each area there is around each place of the icosphere, where 1 is a brain labelled
        everywhere.
    shares : (k,) float64
        Of the areas among all labelled nodes.
    """

    by_width: dict[float, Floats]
    shares: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        places: Floats,
        targets: NDArray[np.int64],
        brains: NDArray[np.int64],
        weights: NDArray[np.float64],
        n_classes: int,
    ) -> AreaFields:
        """Smooth the areas of labelled nodes.

        Parameters
        ----------
        places : (n, 3) float
            Of labelled nodes, unit vectors on the sphere where what corresponds lies at one place.
        targets, brains : (n,) int64
            Area and brain of each.
        weights : (n,) float64
            Share of its hemisphere that each stands for.
        n_classes : int
        """
        counts = np.bincount(targets, weights, minlength=n_classes)
        each = [
            dict(_by_width(places[rows], targets[rows], weights[rows], n_classes))
            for rows in (brains == brain for brain in np.unique(brains))
        ]
        fields = {width: np.stack([field[width] for field in each]) for width in WIDTHS}
        return cls(fields, counts / counts.sum())

    def prior(self, sd_deg: float, brains: Mask) -> Floats:
        """Return the probability of each area at each place of the icosphere by some of the brains, (g, k) float32.

        A kernel estimate (Nadaraya 1964; Watson 1964), `FALL_BACK` of it taken from the widest field, and as much of
        that from the areas' shares: no area is impossible anywhere, and places without a label near have what lies
        farther off.
        """
        wide = _shrunk(self.by_width[WIDTHS[-1]][brains].sum(axis=0), self.shares)
        return _shrunk(self.by_width[sd_deg][brains].sum(axis=0), wide)


@dataclass(frozen=True, slots=True)
class Located:
    """Where unit vectors lie on the icosphere: what is looked up at them again and again is sought once.

    Parameters
    ----------
    corners : (n, 3) int64
        Of the triangle that each lies in.
    weights : (n, 3) float64
        Its barycentric coordinates there.
    """

    corners: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, places: Floats) -> Located:
        """Locate (n, 3) unit vectors."""
        locator = grid_of(SUBDIVISIONS).locator
        face, weights = locator(places.astype(np.float64))
        return cls(locator.faces[face], weights)

    def __getitem__(self, rows: Mask) -> Located:
        return Located(self.corners[rows], self.weights[rows])

    def values(self, field: Floats) -> Floats:
        """Return (n, k) values of an icosphere's (g, k) field, linear within its triangles."""
        return np.einsum("nb,nbk->nk", self.weights, field.astype(np.float64)[self.corners]).astype(np.float32)


def at_places(field: Floats, places: Floats) -> Floats:
    """Return (n, k) values of an icosphere's (g, k) field at (n, 3) unit vectors."""
    return Located.of(places).values(field)


def _shrunk(amounts: Floats, towards: NDArray[np.floating]) -> Floats:
    total = amounts.sum(axis=1, keepdims=True)
    return np.asarray((amounts + FALL_BACK * towards) / (total + FALL_BACK), np.float32)


def _by_width(
    places: Floats, targets: NDArray[np.int64], weights: NDArray[np.float64], n_classes: int
) -> Iterator[tuple[float, Floats]]:
    """Yield each of the widths and the areas smoothed by it, (g, k)."""
    n_places = _smoothing().shape[0]
    located = Located.of(places)
    values = (located.weights * weights[:, None] * n_places).ravel()
    one_each = sp.csr_matrix((values, (located.corners.ravel(), np.repeat(targets, 3))), (n_places, n_classes))
    field, before = one_each.toarray().astype(np.float32), 0.0
    for width in WIDTHS:
        field, before = smoothed(field, float(np.sqrt(width**2 - before**2))), width
        yield width, field


def smoothed(field: NDArray[Any], sd_deg: float) -> NDArray[Any]:
    """Smooth an icosphere's (g, k) field by a Gaussian whose SD is the root of a whole number of degrees."""
    for _ in range(round((sd_deg / STEP_DEG) ** 2)):
        field = _smoothing() @ field
    return field


@cache
def _smoothing() -> sp.csr_matrix:
    """Return a Gaussian of `STEP_DEG` on the icosphere, rows that sum to 1, (g, g) float32."""
    vertices = grid_of(SUBDIVISIONS).mesh.vertices
    sd = np.radians(STEP_DEG)
    tree = cKDTree(vertices)
    pairs = tree.query_pairs(2 * np.sin(CUT_SD * sd / 2), output_type="ndarray")
    rows, columns = np.concatenate([pairs, pairs[:, ::-1], np.tile(np.arange(len(vertices)), (2, 1)).T]).T
    values = np.exp(-0.5 * (np.linalg.norm(vertices[rows] - vertices[columns], axis=1) / sd) ** 2)
    near = sp.csr_matrix((values, (rows, columns)))
    return sp.csr_matrix(sp.diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near, dtype=np.float32)
