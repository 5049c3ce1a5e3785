import itertools
import time

import numpy as np
import pytest
import shapely

from cytomesh.core.errors import ContourError
from cytomesh.study import contour_repair
from cytomesh.study.contour_repair import Mender, n_crossings


def star(n):
    """A star polygon {n / ((n - 1) / 2)}: each of its lines crosses n - 3 others."""
    angles = np.pi * (n - 1) * np.arange(n + 1) / n
    points = 1000 + 900 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points[-1] = points[0]
    return shapely.Polygon(points)


def crossings_by_loops(polygon):
    points = np.asarray(polygon.exterior.coords)
    lines = [shapely.LineString(pair) for pair in itertools.pairwise(points)]
    return sum(a.crosses(b) for a, b in itertools.combinations(lines, 2))


@pytest.mark.parametrize("n", [5, 7, 31])
def test_crossings_are_those_of_loops_and_of_the_formula(n):
    assert n_crossings(star(n), 10_000) == crossings_by_loops(star(n)) == n * (n - 3) // 2


def test_touching_and_sharing_ends_is_no_crossing():
    assert n_crossings(shapely.Polygon([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)]), 10) == 0


def test_a_star_of_three_thousand_points_is_refused_at_once():
    start = time.process_time()
    with pytest.raises(ContourError, match=r"c.geojson: feature 0: found rings that cross themselves more than 2,000"):
        Mender("c.geojson").mend(star(3001), "feature 0")
    assert time.process_time() - start < 5


def test_one_file_has_one_allowance(monkeypatch):
    monkeypatch.setattr(contour_repair, "MAX_CROSSINGS", 12)
    mender = Mender("c.geojson")
    assert [mender.mend(star(5), "feature").is_valid for _ in range(2)] == [True, True]
    with pytest.raises(ContourError, match="more than 12 times"):
        mender.mend(star(5), "feature 3")


def test_what_takes_too_many_comparisons_counts_as_too_many(monkeypatch):
    monkeypatch.setattr(contour_repair, "MAX_PAIRS", 20)
    assert n_crossings(star(31), 1000) == 1001
