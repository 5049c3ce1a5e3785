"""What every contour format is read into: named polygons, and the limits that a file must keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.core.errors import ContourError

# QuPath, ImageJ and SVG count from the corner of pixel (0, 0), cytomesh from its centre.
CORNER = 0.5
# A trace of both boundaries at every pixel of a section of 100,000 px has about a million points.
MAX_BYTES = 128 * 2**20
MAX_POINTS = 2_000_000
MAX_FEATURES = 100_000
MAX_DEPTH = 64

Ring = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ContourFeature:
    """One drawn object.

    Parameters
    ----------
    place : str
        Where it is in the file, for messages.
    names : tuple of str
        Names under which its class may be known, most specific first; the first that is known counts.
    polygons : tuple of tuples of (n, 2) float64
        Rings of each polygon, outer one first, then holes, as closed or open as they are in the file; full-resolution
        pixels counted from the corner of pixel (0, 0).
    fault : str
        What makes it unusable ("a LineString"); "" if nothing does.
    """

    place: str
    names: tuple[str, ...]
    polygons: tuple[tuple[Ring, ...], ...] = ()
    fault: str = ""


def read_bytes(path: Path) -> bytes:
    """Read a contour file of at most `MAX_BYTES`.

    Raises
    ------
    ContourError
        If it is missing, unreadable or larger.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ContourError(
                path,
                found=f"a file of {size / 2**20:.0f} MiB",
                expected=f"at most {MAX_BYTES / 2**20:.0f} MiB (limit MAX_BYTES)",
                hint="simplify the rings, or export one section a file",
            )
        return path.read_bytes()
    except FileNotFoundError as cause:
        hint = "correct the path in the section table, or write n/a"
        raise ContourError(path, found="no such file", hint=hint) from cause
    except OSError as cause:
        raise ContourError(path, found=f"a file that cannot be read ({cause})") from cause


def too_many_points(path: Path, count: int) -> ContourError:
    """Return the error of a file with more than `MAX_POINTS` points."""
    return ContourError(
        path,
        found=f"about {count:,} points",
        expected=f"at most {MAX_POINTS:,} (limit MAX_POINTS)",
        hint="simplify the rings (half a pixel is more than enough), or export one section a file",
    )


def too_deep(path: Path) -> ContourError:
    """Return the error of a file nested deeper than `MAX_DEPTH`."""
    return ContourError(
        path,
        found="brackets or elements nested too deeply",
        expected=f"at most {MAX_DEPTH} levels (limit MAX_DEPTH)",
        hint="the file is damaged, or is not a contour file: export it again",
    )


def too_many_features(path: Path, count: int) -> ContourError:
    """Return the error of a file with more than `MAX_FEATURES` objects."""
    return ContourError(
        path, found=f"{count:,} objects or more", expected=f"at most {MAX_FEATURES:,} (limit MAX_FEATURES)"
    )


def close(ring: Ring) -> Ring:
    """Return the ring with its first point repeated at the end, for formats that leave it out."""
    if len(ring) and not np.array_equal(ring[0], ring[-1]):
        return np.concatenate([ring, ring[:1]])
    return ring


def without_number(name: str) -> tuple[str, ...]:
    """Return a name, and the name without the number that programs add to keep names apart ("pial_L-2")."""
    shorter = re.sub(r"[-_. ]\d{1,9}$", "", name)
    return (name,) if shorter == name else (name, shorter)


def even_odd(rings: Sequence[Ring]) -> tuple[tuple[Ring, ...], ...]:
    """Group rings into polygons by the even-odd rule: a ring within another one is a hole, one within that a part.

    Rings that are open or too short for a polygon of their own stay as they are, one polygon each: they are
    reported where polygons are checked.
    """
    proper = [i for i, ring in enumerate(rings) if len(ring) >= 4 and np.isfinite(ring).all()]
    polygons = [shapely.Polygon(rings[i]) for i in proper]
    order = np.argsort([-polygon.area for polygon in polygons], kind="stable")
    rank = {int(k): i for i, k in enumerate(order)}
    tree = shapely.STRtree(polygons)
    groups: dict[int, list[Ring]] = {}
    done: set[int] = set()
    for k in order:
        point = _inner_point(polygons[k])
        around = [int(j) for j in tree.query(point, predicate="within") if int(j) in done]
        done.add(int(k))
        ring = rings[proper[k]]
        if len(around) % 2 == 0:
            groups[int(k)] = [ring]
        else:
            # the innermost outer ring around it: smaller areas come later
            outer = max((j for j in around if j in groups), key=rank.__getitem__, default=None)
            if outer is None:
                groups[int(k)] = [ring]
            else:
                groups[outer].append(ring)
    others = [(ring,) for i, ring in enumerate(rings) if i not in proper]
    return (*(tuple(group) for group in groups.values()), *others)


def _inner_point(polygon: shapely.Polygon) -> shapely.Point:
    # a ring that crosses itself has no inner point by GEOS' rules; any vertex does
    return polygon.representative_point() if polygon.is_valid else shapely.Point(polygon.exterior.coords[0])
