"""Analytic test bodies, cut into contours exactly."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import shapely

from cytomesh.surface.stack import PlaneContours


def multi(*polygons: shapely.Polygon) -> shapely.MultiPolygon:
    union = shapely.union_all([p for p in polygons if not p.is_empty])
    return shapely.MultiPolygon([p for p in getattr(union, "geoms", [union]) if p.area > 0])


def disc(x: float, y: float, radius2: float) -> shapely.Polygon:
    return shapely.Point(x, y).buffer(np.sqrt(radius2), quad_segs=64) if radius2 > 1e-9 else shapely.Polygon()


@pytest.fixture
def nested_spheres() -> Callable[..., list[PlaneContours]]:
    """Sections of two concentric spheres about (3, -2, 5) mm; `frame` columns: column, row and stacking direction."""

    def build(
        outer: float, inner: float, heights: Sequence[float], frame: np.ndarray | None = None
    ) -> list[PlaneContours]:
        axes = np.eye(3) if frame is None else frame
        sections = []
        for height in heights:
            origin = np.array([3.0, -2.0, 5.0]) + axes[:, 2] * height - (axes[:, 0] + axes[:, 1]) * 20.0
            to_world = np.column_stack([axes[:, 0] * 0.1, axes[:, 1] * 0.1, origin])
            rings = [multi(disc(200.0, 200.0, 100 * (r * r - height**2))) for r in (outer, inner)]
            sections.append(PlaneContours(to_world, rings[0], rings[1]))
        return sections

    return build
