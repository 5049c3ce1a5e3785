"""Draw points near points, in proportion to any weight that ends at a radius, without listing all that are near."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
Weight = Callable[[Indices, Indices, Floats], Floats]
Bound = Callable[[Floats], Floats]

# What lies within the radius along a column is found to within this part of the radius.
SLICES = 64
REACH = SLICES + 1
# A point is tried for about as long as it would take to list its candidates.
LISTED_PER_TRY = 8
MAX_TRIES = 256
# Candidates that are listed at once: about 100 MB.
MAX_LISTED = 1 << 19


class Nearby:
    """Points that can be drawn around each other.

    They are sorted into square columns, one radius wide, and along the third axis within each: whatever lies within the
    radius of a point is in nine runs of the sorted order, one of its own column and eight of those around it. Memory is
    in proportion to the points, whatever the radius.

    Parameters
    ----------
    position : (n, 3) float64
        mm.
    group : (n,) int64
        From 0; only points of one group are near each other.
    mass : (n,) float64
        How often a point is drawn, beside its weight.
    radius_mm : float
    bound : callable
        Upper bound of the weights, (m,) float64, of points that are at least so far apart, (m,) float64 mm.
    """

    def __init__(self, position: Floats, group: Indices, mass: Floats, radius_mm: float, bound: Bound) -> None:
        self.bound = bound
        self.width_mm = radius_mm * (1 + 1e-9)  # one radius away is never two columns away, however numbers are rounded
        place = (position - position.min(axis=0)) / self.width_mm
        cell = np.floor(place * [1, 1, SLICES]).astype(np.int64)
        margin = [1, 1, REACH]
        shape = (int(group.max()) + 1, *(cell.max(axis=0) + 1 + 2 * np.array(margin)).tolist())
        keys = np.ravel_multi_index((group, *(cell + margin).T), shape)
        self._order = np.argsort(keys, kind="stable")
        self._rank = np.empty_like(self._order)
        self._rank[self._order] = np.arange(len(keys))
        # all below in sorted order
        self._keys = keys[self._order]
        self._position = position[self._order]
        self._in_column = (place - cell)[self._order, :2]
        self._mass = mass[self._order]
        self._mass_before = np.append(0.0, np.cumsum(self._mass))
        steps = itertools.product((-1, 0, 1), repeat=2)
        self._columns = np.array([(dx * shape[2] + dy) * shape[3] for dx, dy in steps])

    def n_candidates(self) -> Indices:
        """Return how many points may be near each, (n,) int64: no fewer than are."""
        n = np.zeros(len(self._keys), np.int64)
        for column in self._columns:
            first, last = self._run(self._keys + column)
            n += last - first
        return n[self._rank]

    def draw(self, rng: np.random.Generator, points: Indices, weight: Weight) -> Indices:
        """Draw another point for each of some, in proportion to its mass x weight(point, other, distance).

        Candidates are drawn in proportion to mass x bound, and kept with probability weight / bound (von Neumann,
        1951). Around points where too few are kept, all are weighed: both draw from the same distribution.

        Parameters
        ----------
        rng : np.random.Generator
        points : (k,) int64
            As often as others are wanted for them.
        weight : callable
            Of pairs of points, (m,) int64 each, and the distance between them, (m,) float64 mm: (m,) float64, no more
            than the bound, and 0 beyond the radius.

        Returns
        -------
        (k,) int64
            -1 where all weights are 0.
        """
        ranks, row = np.unique(self._rank[points], return_inverse=True)
        runs = self._runs(ranks)
        chosen = np.full(len(points), -1)
        tries = np.minimum(MAX_TRIES, runs.n // LISTED_PER_TRY)[row]
        left = np.argsort(row, kind="stable")  # in sorted order: what they have in common is in the processor's cache
        for attempt in itertools.count(1):
            trying = left[tries[left] >= attempt]
            if not len(trying):
                break
            candidate, bound = runs.propose(rng, row[trying])
            is_kept = rng.random(len(trying)) * bound < self._weigh(ranks[row[trying]], candidate, weight)
            chosen[trying[is_kept]] = self._order[candidate[is_kept]]
            left = left[chosen[left] < 0]
        for some in np.split(left, np.flatnonzero(np.diff(np.cumsum(runs.n[row[left]]) // MAX_LISTED)) + 1):
            chosen[some] = self._draw_listed(rng.random(len(some)), runs, ranks, row[some], weight)
        return chosen

    def _runs(self, ranks: Indices) -> Runs:
        first, last = self._run(self._keys[ranks][:, None] + self._columns)
        before = self._in_column[ranks]
        gaps = self.width_mm * np.stack([before, np.zeros_like(before), 1.0 - before])  # (3, k, 2): to the columns
        distance = np.hypot(gaps[:, None, :, 0], gaps[None, :, :, 1]).reshape(9, len(ranks)).T
        bound = np.where(distance <= self.width_mm, self.bound(distance), 0.0)
        return Runs(first, last, bound, self._mass_before)

    def _run(self, keys: Indices) -> tuple[Indices, Indices]:
        """Return where in the sorted order that begins, and ends, which may be near in a column."""
        first = np.searchsorted(self._keys, keys - REACH)
        return first, np.searchsorted(self._keys, keys + REACH, side="right")

    def _weigh(self, ranks: Indices, others: Indices, weight: Weight) -> Floats:
        # positions in sorted order, and few at once, are in the processor's cache; of all points they would not be
        step = self._position.take(ranks, axis=0) - self._position.take(others, axis=0)
        return weight(self._order[ranks], self._order[others], np.sqrt(np.einsum("ij,ij->i", step, step)))

    def _draw_listed(self, uniform: Floats, runs: Runs, ranks: Indices, row: Indices, weight: Weight) -> Indices:
        """Draw for each row by the weights of all its candidates."""
        if not len(row):
            return row
        rows, place = np.unique(row, return_inverse=True)
        candidates, n = runs.listed(rows)
        weights = self._weigh(np.repeat(ranks[rows], n), candidates, weight)
        before = np.append(0.0, np.cumsum(self._mass[candidates] * weights))
        ends = np.cumsum(n)
        low, high = before[ends - n][place], before[ends][place]
        drawn = np.minimum(low + uniform * (high - low), np.nextafter(high, 0.0))
        which = np.searchsorted(before, drawn, side="right") - 1
        return np.where(high > low, self._order[candidates[np.minimum(which, len(candidates) - 1)]], -1)


class Runs:
    """The candidates of some points: nine runs each of points in their sorted order.

    Parameters
    ----------
    first, last : (k, 9) int64
    bound : (k, 9) float64
        Upper bound of the weights in each run.
    mass_before : (n + 1,) float64
        Mass of all points before each.
    """

    def __init__(self, first: Indices, last: Indices, bound: Floats, mass_before: Floats) -> None:
        self.first, self.last = first, last
        self.n: Indices = (last - first).sum(axis=1)
        self._bound = bound.ravel()
        self._mass_before = mass_before
        self._begin = mass_before[first].ravel()
        self._mass = mass_before[last].ravel() - self._begin
        self._before = np.append(0.0, np.cumsum(self._bound * self._mass))

    def propose(self, rng: np.random.Generator, rows: Indices) -> tuple[Indices, Floats]:
        """Draw one candidate for each of some points, in proportion to mass x bound; return it and its bound, (m,)."""
        low, high = self._before[9 * rows], self._before[9 * rows + 9]
        drawn = low + rng.random(len(rows)) * (high - low)
        run = np.minimum(np.searchsorted(self._before, drawn, side="right") - 1, len(self._bound) - 1)
        drawn = self._begin[run] + rng.random(len(rows)) * self._mass[run]
        candidate = np.searchsorted(self._mass_before, drawn, side="right") - 1
        # the last digit may round a draw into the next point's runs: there all weights are 0
        return np.minimum(candidate, len(self._mass_before) - 2), self._bound[run]

    def listed(self, rows: Indices) -> tuple[Indices, Indices]:
        """Return all candidates of some points, one point's after the other's, and their number by point."""
        first = self.first[rows].ravel()
        n = self.last[rows].ravel() - first
        ends = np.cumsum(n)
        return np.arange(ends[-1]) + np.repeat(first - ends + n, n), self.n[rows]
