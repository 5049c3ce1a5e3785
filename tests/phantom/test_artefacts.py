import numpy as np

from cytomesh.phantom.artefacts import plan, stain_gradient, tear
from cytomesh.phantom.config import ArtefactConfig


def test_plan_has_what_was_asked_for():
    kinds = plan(ArtefactConfig(missing=3, torn=2, gradient=1), 40, 0, "B01")
    assert [kinds.count(kind) for kind in ("missing", "tear", "stain gradient")] == [3, 2, 1]
    missing = np.flatnonzero([kind == "missing" for kind in kinds])
    assert np.diff(missing).min() > 1 and missing.min() >= 6 and missing.max() < 34
    assert plan(ArtefactConfig(), 40, 0, "B01") != plan(ArtefactConfig(), 40, 0, "B02")


def test_tear_runs_through_the_image():
    image = np.full((300, 200), 120, np.uint8)
    for seed in range(4):
        torn = tear(image, 240.0, 100.0, seed) > 200
        assert 0.003 < torn.mean() < 0.12
        assert torn.any(axis=0).mean() > 0.9 or torn.any(axis=1).mean() > 0.9


def test_gradient_range():
    factor = stain_gradient((100, 80), 0)
    assert 0.6 < factor.min() < 0.8 and 1.2 < factor.max() < 1.45
