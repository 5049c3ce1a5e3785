import numpy as np
import pytest

from cytomesh.graph.nearest import nearest_planes

Y = np.array([0.0, 1.0, 0.0])


def test_nearest_planes_equal_sorting_all_of_them(shapes):
    rng = np.random.default_rng(3)
    planes = [shapes.tilted(y, tilt) for y, tilt in zip(rng.uniform(-20, 20, 40), rng.uniform(-3, 3, 40), strict=True)]
    positions = rng.uniform(-20, 20, (50, 3))
    nearest, distances = nearest_planes(planes, Y, positions)
    everything = np.abs(np.stack([plane.distance(positions) for plane in planes], axis=1))
    assert distances[:, :3] == pytest.approx(np.sort(everything, axis=1)[:, :3])
    assert (nearest[:, 0] == everything.argmin(axis=1)).all()
