"""Points near points: the candidates are those of brute force, and are drawn as often as their weights say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from cytomesh.pretrain import nearby
from cytomesh.pretrain.nearby import Nearby

RADIUS_MM = 3.0


def gaussian(distance):
    return np.exp(-2.0 * (distance / RADIUS_MM) ** 2)


class Points:
    """Random points of two groups; pairs whose numbers sum to a multiple of three may not be drawn together."""

    def __init__(self, n: int, side_mm: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.position = rng.uniform(0, side_mm, (n, 3)) - side_mm / 3
        self.group = rng.integers(0, 2, n)
        self.mass = rng.uniform(0.2, 2.0, n)

    def near(self, bound=gaussian) -> Nearby:
        return Nearby(self.position, self.group, self.mass, RADIUS_MM, bound)

    def weight(self, first, second, distance):
        return np.where((distance <= RADIUS_MM) & ((first + second) % 3 > 0), gaussian(distance), 0.0)

    def chances(self, point: int) -> np.ndarray:
        """Return how probable each other point is, one by one."""
        chance = np.zeros(len(self.position))
        for other in range(len(chance)):
            if self.group[other] == self.group[point]:
                distance = np.linalg.norm(self.position[point] - self.position[other])
                chance[other] = self.mass[other] * self.weight(point, other, distance)
        return chance / chance.sum() if chance.any() else chance


@pytest.mark.parametrize(("n", "side_mm"), [(4000, 10.0), (150, 10.0), (4000, 40.0)])
@pytest.mark.parametrize("bound", [gaussian, np.ones_like])
def test_points_are_drawn_as_often_as_brute_force_says(n, side_mm, bound):
    """Many candidates a point (drawn and kept or not), few (all weighed), and both beside each other."""
    points = Points(n, side_mm)
    middle = np.linalg.norm(points.position - points.position.mean(axis=0), axis=1)
    some = np.argsort(middle)[[0, 1, 2, 10, -1]]
    repeated = np.tile(some, 20_000)
    drawn = points.near(bound).draw(np.random.default_rng(1), repeated, points.weight)
    for point in some:
        chance = points.chances(point)
        counts = np.bincount(drawn[(repeated == point) & (drawn >= 0)], minlength=n)
        assert not counts[chance == 0].any()
        assert counts.sum() == 20_000 * chance.any()
        expected = 20_000 * chance
        is_common = expected >= 5
        if is_common.sum() > 1:
            observed = np.append(counts[is_common], counts[~is_common].sum())
            wanted = np.append(expected[is_common], expected[~is_common].sum())
            keep = wanted > 0
            assert chisquare(observed[keep], wanted[keep]).pvalue > 1e-3


def test_every_candidate_is_drawn():
    points = Points(120, 9.0)
    repeated = np.repeat(np.arange(120), 3000)
    drawn = points.near().draw(np.random.default_rng(0), repeated, points.weight)
    for point in range(120):
        chance = points.chances(point)
        found = np.unique(drawn[repeated == point])
        assert set(found) - {-1} <= set(np.flatnonzero(chance))
        assert set(found) >= set(np.flatnonzero(chance > 0.01))
        assert (-1 in found) == (not chance.any())


def test_points_at_the_very_radius_on_a_grid_that_rounds():
    step = 0.1
    place = np.stack(np.meshgrid(*[np.arange(7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    n = len(place)
    radius = 3 * step

    def weight(first, second, distance):
        squared = ((place[first] - place[second]) ** 2).sum(axis=1)
        assert np.allclose(distance, step * np.sqrt(squared))
        return ((squared <= 9) & (squared > 0)).astype(np.float64)

    near = Nearby(place * step, np.zeros(n, np.int64), np.ones(n), radius, np.ones_like)
    repeated = np.repeat(np.arange(n), 2000)
    drawn = near.draw(np.random.default_rng(0), repeated, weight)
    for point in (0, 171, n - 1):
        squared = ((place - place[point]) ** 2).sum(axis=1)
        assert set(drawn[repeated == point]) == set(np.flatnonzero((squared <= 9) & (squared > 0)))


def test_nothing_near_and_nothing_wanted():
    position = np.array([[0.0, 0, 0], [RADIUS_MM * 0.9, 0, 0], [1e4, -1e4, 1e4]])
    near = Nearby(position, np.zeros(3, np.int64), np.ones(3), RADIUS_MM, gaussian)

    def weight(first, second, distance):
        return np.where((first != second) & (distance <= RADIUS_MM), gaussian(distance), 0.0)

    rng = np.random.default_rng(0)
    assert near.draw(rng, np.array([0, 1, 2, 2]), weight).tolist() == [1, 0, -1, -1]
    assert near.draw(rng, np.empty(0, np.int64), weight).tolist() == []
    assert near.n_candidates().tolist() == [2, 2, 1]


def test_candidates_are_no_fewer_than_those_near():
    points = Points(600, 12.0)
    distance = np.linalg.norm(points.position[:, None] - points.position[None], axis=2)
    n_near = ((distance <= RADIUS_MM) & (points.group[:, None] == points.group)).sum(axis=1)
    n = points.near().n_candidates()
    assert (n >= n_near).all()
    assert n.mean() < 18 / (4 / 3 * np.pi) * n_near.mean() * 1.5  # nine columns of 2 radii, against the ball


def test_listing_in_parts_draws_the_same(monkeypatch):
    points = Points(2000, 20.0)
    monkeypatch.setattr(nearby, "MAX_TRIES", 0)
    repeated = np.tile(np.arange(300), 4)
    whole = points.near().draw(np.random.default_rng(3), repeated, points.weight)
    monkeypatch.setattr(nearby, "MAX_LISTED", 50)
    assert np.array_equal(points.near().draw(np.random.default_rng(3), repeated, points.weight), whole)
