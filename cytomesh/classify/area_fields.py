"""Areas of labelled brains on the registered sphere: how probable each is at each place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    sd_deg : float
        SD of the smoothing, degrees.
    amounts : (b, g, k) float32
        How much of each area there is around each place of the icosphere, where 1 is a brain labelled everywhere.
    widest : (b, g, k) float32
        The same by the last of `WIDTHS`.
    shares : (k,) float64
        Of the areas among all labelled nodes.
    """

    sd_deg: float
    amounts: Floats
    widest: Floats
    shares: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        places: Floats,
        targets: NDArray[np.int64],
        brains: NDArray[np.int64],
        weights: NDArray[np.float64],
        n_classes: int,
        widths: Sequence[float] = WIDTHS,
    ) -> Iterator[AreaFields]:
        """Yield the smoothed areas of labelled nodes by each of some widths; more than one at a time is much to hold.

        Parameters
        ----------
        places : (n, 3) float
            Of labelled nodes, unit vectors on the sphere where what corresponds lies at one place.
        targets, brains : (n,) int64
            Area and brain of each.
        weights : (n,) float64
            Share of its hemisphere that each stands for.
        n_classes : int
        widths : sequence of float
            Of `WIDTHS`, ascending.
        """
        counts = np.bincount(targets, weights, minlength=n_classes)
        shares = counts / counts.sum()
        amounts = np.stack(
            [
                _on_icosphere(places[rows], targets[rows], weights[rows], n_classes)
                for rows in (brains == brain for brain in np.unique(brains))
            ]
        )
        widest, before = np.stack([smoothed(field, WIDTHS[-1]) for field in amounts]), 0.0
        for width in widths:
            if width == WIDTHS[-1]:
                amounts = widest
            else:
                amounts = np.stack([smoothed(field, float(np.sqrt(width**2 - before**2))) for field in amounts])
            before = width
            yield cls(width, amounts, widest, shares)

    def prior(self, brains: Mask) -> Floats:
        """Return the probability of each area at each place of the icosphere by some of the brains, (g, k) float32.

        A kernel estimate (Nadaraya 1964; Watson 1964), `FALL_BACK` of it taken from the widest field, and as much of
        that from the areas' shares: no area is impossible anywhere, and places without a label near have what lies
        farther off.
        """
        return _shrunk(_sum(self.amounts, brains), _shrunk(_sum(self.widest, brains), self.shares))


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


def _sum(amounts: Floats, brains: Mask) -> Floats:
    """Return the sum over some brains, (g, k), without a copy of their fields."""
    first, *others = np.flatnonzero(brains)
    total = amounts[first].copy()
    for brain in others:
        total += amounts[brain]
    return total


def _on_icosphere(
    places: Floats, targets: NDArray[np.int64], weights: NDArray[np.float64], n_classes: int
) -> NDArray[np.float32]:
    """Return how much of each area nodes lay onto the places of the icosphere, (g, k)."""
    n_places = _smoothing().shape[0]
    located = Located.of(places)
    values = (located.weights * weights[:, None] * n_places).ravel()
    laid = sp.csr_matrix((values, (located.corners.ravel(), np.repeat(targets, 3))), (n_places, n_classes))
    return np.asarray(laid.toarray(), np.float32)


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
