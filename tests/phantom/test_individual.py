import numpy as np

from cytomesh.phantom.config import GeometryConfig
from cytomesh.phantom.individual import individual


def test_template_inverts_brain(cortex):
    shape = individual(GeometryConfig(), 0, "B01")
    points = cortex.midsurface[::50]
    assert np.abs(shape.template(shape.brain(points)) - points).max() < 1e-6


def test_registration_is_the_inverse_up_to_its_error(cortex):
    settings = GeometryConfig(registration_error_mm=0.7)
    shape = individual(settings, 0, "B02")
    own = shape.cortex(cortex)
    error = shape.registration(own, 6.0).apply(own.midsurface) - cortex.midsurface
    assert 0.3 < np.sqrt((error**2).mean()) < 1.2
    exact = individual(settings.model_copy(update={"registration_error_mm": 0.0}), 0, "B02")
    error = exact.registration(own, 4.0).apply(own.midsurface) - cortex.midsurface
    assert np.linalg.norm(error, axis=1).max() < 0.1


def test_brains_differ_by_some_millimetres(cortex):
    a, b = (individual(GeometryConfig(), 0, name).brain(cortex.pial) for name in ("B01", "B02"))
    apart = np.linalg.norm((a - a.mean(axis=0)) - (b - b.mean(axis=0)), axis=1)
    assert 2 < apart.mean() < 9
