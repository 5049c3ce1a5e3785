import numpy as np

from cytomesh.phantom.fields import smooth_field


def test_root_mean_square_and_smoothness():
    field = smooth_field(0, "a", rms=2.0, wavelength=(50.0, 90.0))
    points = np.random.default_rng(0).uniform(-400, 400, (20000, 3))
    values = field(points)
    assert np.allclose(np.sqrt((values**2).mean(axis=0)), 2.0, rtol=0.15)
    step = np.abs(field(points + np.array([0.5, 0, 0])) - values).max()
    assert step < 0.5 * 2 * np.pi / 50 * np.abs(field.coefficients).sum(axis=0).max()


def test_one_name_one_field():
    a, b, c = (smooth_field(0, name, rms=1.0, wavelength=(5.0, 9.0))(np.ones((1, 3))) for name in "aab")
    assert (a == b).all() and (a != c).all()


def test_equals_the_sum_of_waves():
    field = smooth_field(1, "x", rms=1.0, wavelength=(3.0, 4.0), components=2)
    point = np.array([0.3, -1.0, 2.0])
    expected = sum(
        c * np.cos(k @ point + p) for k, p, c in zip(field.waves, field.phases, field.coefficients, strict=True)
    )
    assert np.allclose(field(point[None])[0], expected)
