"""Which rings lie within which: holes by the even-odd rule, in a time that no drawing can stretch."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import Ring

# Pairs of a ring and another one in whose box it lies. An image full of speckles has a few a ring; rings drawn around
# or over one another have as many as their square, and memory and time with it.
MAX_PAIRS = 4_000_000
# Vertices compared with other rings, whole ring by whole ring.
MAX_COMPARED = 20_000_000
CHUNK = 64


def even_odd(rings: Sequence[Ring], source: str | os.PathLike[str]) -> tuple[tuple[Ring, ...], ...]:
    """Group rings into polygons by the even-odd rule: a ring within another one is a hole, one within that a part.

    Rings that are open or too short for a polygon of their own stay as they are, one polygon each: they are
    reported where polygons are checked.

    Parameters
    ----------
    rings : sequence of (n, 2) float64
        Closed rings.
    source : str or path
        File of the rings, for the message.

    Raises
    ------
    ContourError
        If more than `MAX_PAIRS` rings lie within or over one another.
    """
    is_proper = [len(ring) >= 4 and bool(np.isfinite(ring).all()) for ring in rings]
    others = [(ring,) for ring, proper in zip(rings, is_proper, strict=True) if not proper]
    chosen = [ring for ring, proper in zip(rings, is_proper, strict=True) if proper]
    if not chosen:
        return tuple(others)
    polygons = np.array([shapely.Polygon(ring) for ring in chosen], object)
    n = len(polygons)
    order = np.argsort(-shapely.area(polygons), kind="stable")
    rank = np.argsort(order)
    inner, outer = points_within(_inner_points(polygons), polygons, source)
    # what lies around a ring is larger
    is_around = rank[outer] < rank[inner]
    inner, outer = inner[is_around], outer[is_around]
    is_hole = np.bincount(inner, minlength=n) % 2 == 1
    # a hole belongs to the innermost of the outer rings around it: smaller areas come later
    owner = np.full(n, -1)
    fits = is_hole[inner] & ~is_hole[outer]
    np.maximum.at(owner, inner[fits], rank[outer[fits]])
    groups: dict[int, list[Ring]] = {}
    for k in order.tolist():
        if owner[k] < 0:
            groups[k] = [chosen[k]]
        else:
            groups[int(order[owner[k]])].append(chosen[k])
    return (*(tuple(group) for group in groups.values()), *others)


def rings_within(polygons: Sequence[shapely.Polygon], source: str | os.PathLike[str]) -> NDArray[np.intp]:
    """Return the numbers of the valid polygons that lie within another one (of two equal ones, both).

    Raises
    ------
    ContourError
        If more than `MAX_PAIRS` polygons lie within or over one another, or more than `MAX_COMPARED` vertices would
        have to be compared.
    """
    array = np.array(polygons, object)
    inner, outer = points_within(shapely.point_on_surface(array), array, source)
    low, high = np.split(shapely.bounds(array), 2, axis=1)
    is_apart = (inner != outer) & (low[inner] >= low[outer]).all(axis=1) & (high[inner] <= high[outer]).all(axis=1)
    inner, outer = inner[is_apart], outer[is_apart]
    compared = int(shapely.get_num_coordinates(array)[inner].sum())
    if compared > MAX_COMPARED:
        raise _too_many(source, f"rings within one another, {compared:,} points to compare", "MAX_COMPARED")
    return np.unique(inner[shapely.contains(array[outer], array[inner])])


def points_within(
    points: NDArray[np.object_], polygons: NDArray[np.object_], source: str | os.PathLike[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (point number, polygon number) of each point that lies within a polygon, both (m,).

    Raises
    ------
    ContourError
        If points lie in the boxes of polygons more than `MAX_PAIRS` times.
    """
    tree = shapely.STRtree(polygons)
    pairs = [np.empty((2, 0), np.intp)]
    count = 0
    for start in range(0, len(points), CHUNK):
        found = tree.query(points[start : start + CHUNK])
        count += found.shape[1]
        if count > MAX_PAIRS:
            raise _too_many(source, f"rings within or over one another more than {MAX_PAIRS:,} times", "MAX_PAIRS")
        pairs.append(found + np.array([[start], [0]]))
    inner, outer = np.concatenate(pairs, axis=1)
    shapely.prepare(polygons)
    is_within = shapely.contains(polygons[outer], points[inner])
    return inner[is_within], outer[is_within]


def _inner_points(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    # a ring that crosses itself has no inner point by GEOS' rules; any vertex does
    points = shapely.get_point(shapely.get_exterior_ring(polygons), 0)
    is_valid = shapely.is_valid(polygons)
    points[is_valid] = shapely.point_on_surface(polygons[is_valid])
    return np.asarray(points, object)


def _too_many(source: str | os.PathLike[str], found: str, limit: str) -> ContourError:
    return ContourError(
        source,
        found=found,
        expected=f"the boundaries of one section (limit {limit})",
        hint="delete what is drawn twice, or simplify the rings",
    )
