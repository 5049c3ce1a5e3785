import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.nesting import even_odd, rings_within


def square(x, y, half):
    return np.asarray(shapely.box(x - half, y - half, x + half, y + half).exterior.coords)


@given(st.permutations(range(5)))
def test_nested_rings_alternate_between_parts_and_holes(order):
    rings = [square(0, 0, 10), square(0, 0, 8), square(0, 0, 6), square(-3, 0, 1), square(30, 0, 2)]
    polygons = [shapely.Polygon(group[0], group[1:]) for group in even_odd([rings[i] for i in order], "c.svg")]
    assert len(polygons) == 3
    # even-odd by definition: a point is inside if an odd number of rings goes around it
    for point in map(shapely.Point, [(9, 0), (7, 0), (0, 0), (-3, 0), (30, 0), (50, 0)]):
        inside = sum(shapely.Polygon(ring).contains(point) for ring in rings) % 2 == 1
        assert any(polygon.contains(point) for polygon in polygons) == inside


def test_rings_that_make_no_polygon_are_kept_for_the_checks():
    line, lost = np.zeros((2, 2)), np.full((5, 2), np.nan)
    groups = even_odd([line, square(0, 0, 3), lost], "c.svg")
    assert [len(group[0]) for group in groups] == [5, 2, 5]


def even_odd_by_loops(rings):
    """The rule, ring by ring: how many go around it, and which outer one is the innermost. Slow on purpose."""
    polygons = [shapely.Polygon(ring) for ring in rings]
    around = [
        [j for j, other in enumerate(polygons) if j != i and other.contains(polygon)]
        for i, polygon in enumerate(polygons)
    ]
    groups = {i: {i} for i in range(len(rings)) if len(around[i]) % 2 == 0}
    for i in range(len(rings)):
        if len(around[i]) % 2:
            groups[min((j for j in around[i] if j in groups), key=lambda j: polygons[j].area)].add(i)
    return {frozenset(group) for group in groups.values()}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), min_size=1, max_size=12, unique=True))
def test_even_odd_and_rings_within_are_those_of_loops(discs):
    rings = [square(20 * place, 0, half) for place, half in discs]
    number = {ring.tobytes(): i for i, ring in enumerate(rings)}
    groups = {frozenset(number[ring.tobytes()] for ring in group) for group in even_odd(rings, "c.svg")}
    assert groups == even_odd_by_loops(rings)
    polygons = [shapely.Polygon(ring) for ring in rings]
    inner = [i for i, p in enumerate(polygons) if any(q.contains(p) for q in polygons if q is not p)]
    assert rings_within(polygons, "c.svg").tolist() == inner


def test_copies_lie_within_each_other_and_overlaps_do_not():
    a, b = (shapely.box(0, 0, 4, 4) for _ in range(2))
    assert rings_within([a, b, shapely.box(3, 3, 6, 6)], "c.svg").tolist() == [0, 1]


def test_twenty_thousand_rings_over_one_another_are_refused_at_once():
    nested = [square(0, 0, 1.0 + i) for i in range(20_000)]
    start = time.process_time()
    message = r"c.svg: found rings within or over one another more than 4,000,000 times.*limit MAX_PAIRS"
    for rings in (nested, [np.add(ring, (i % 7, 0)) for i, ring in enumerate(nested)]):
        with pytest.raises(ContourError, match=message):
            even_odd(rings, "c.svg")
        with pytest.raises(ContourError, match=message):
            rings_within([shapely.Polygon(ring) for ring in rings], "c.svg")
    assert time.process_time() - start < 20


def test_twenty_thousand_specks_are_no_problem():
    x, y = np.divmod(np.arange(20_000), 150)
    rings = [square(0, 0, 1000), *(square(4 * i + 0.1, 4 * j, 1) for i, j in zip(x, y, strict=True))]
    start = time.process_time()
    (group,) = even_odd(rings, "c.svg")
    assert len(group) == 20_001 and time.process_time() - start < 10
