"""Field lines of a radial field are rays."""

import numpy as np

from cytomesh.surface.tracing import N_SAMPLES, project, sample, trace


def radial() -> tuple[np.ndarray, np.ndarray]:
    x, y, z = np.mgrid[-15:16, -15:16, -15:16]
    directions = np.random.default_rng(0).standard_normal((200, 3))
    return np.sqrt(x**2 + y**2 + z**2).astype(np.float32), directions / np.linalg.norm(directions, axis=1)[:, None]


def test_lines_are_rays_of_the_right_length():
    field, rays = radial()
    for level in (5.0, 11.5):
        paths, lengths, reached = trace(field, 15 + 8 * rays, level, 10.0)
        assert reached.all()
        assert paths.shape == (200, N_SAMPLES, 3)
        np.testing.assert_allclose(lengths, abs(level - 8), atol=0.06)
        np.testing.assert_allclose(paths[:, -1], 15 + level * rays, atol=0.12)
        np.testing.assert_allclose(
            np.linalg.norm(np.diff(paths, axis=1), axis=2), lengths[:, None] / 16 + 0 * paths[:, 1:, 0], rtol=0.02
        )


def test_lines_stop_at_the_longest_length_and_say_so():
    field, rays = radial()
    _, lengths, reached = trace(field, 15 + 8 * rays, 14.0, 2.0)
    assert not reached.any()
    assert lengths.max() < 2.6


def test_start_on_the_level_stays():
    field, _ = radial()
    paths, lengths, reached = trace(field, np.array([[15.0, 15.0, 20.0]]), 5.0, 3.0)
    assert reached.all()
    assert lengths[0] == 0
    np.testing.assert_array_equal(paths[0], np.tile([15.0, 15.0, 20.0], (N_SAMPLES, 1)))


def test_project_and_sample():
    field, rays = radial()
    points = project(field, 15 + 9.4 * rays, 9.0, 2.0)
    np.testing.assert_allclose(sample(field, points), 9.0, atol=0.01)
    assert sample(field, np.array([[-5.0, 15.0, 15.0]]))[0] == 15.0
