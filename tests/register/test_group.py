"""The mean of several brains: in the middle of them, whatever their order."""

import numpy as np
import pytest

from cytomesh.register import demons
from cytomesh.register.demons import Stiffness
from cytomesh.register.group import centred, group_template
from cytomesh.register.spherical import logarithm
from cytomesh.register.warp import Stage, Warp, grid_of
from tests.register.bodies import ball, bumps, degrees_between, directions, warped

GRID = grid_of(2)
STAGES = (Stage(2, 2.3),)


@pytest.fixture(scope="module")
def brains():
    """Three brains that are each one pattern behind another map."""
    seen = [bumps(warped(GRID.mesh.vertices, 6.0, seed), 30, 6.0) for seed in (1, 2, 3)]
    return [(GRID.standardised(values[:, None]),) for values in seen]


@pytest.fixture(scope="module")
def group(brains):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demons, "SEARCH_DEG", 1.0)  # they are turned alike: the search is not what is tested
        yield group_template(brains, Stiffness(), STAGES)


def away(warps):
    """Mean displacement from the template to the brains."""
    here = GRID.mesh.vertices
    return np.degrees(np.mean([logarithm(here, warp.inverse(here)) for warp in warps], axis=0))


def test_brains_agree_on_their_mean(brains, group):
    _, warps, _ = group

    def agreement(seen):
        return np.corrcoef(seen)[np.triu_indices(3, 1)].mean()

    here = GRID.mesh.vertices
    seen = [GRID.locator.interpolate(w.inverse(here), b[0])[:, 0] for w, b in zip(warps, brains, strict=True)]
    assert 1 - agreement(seen) < 0.4 * (1 - agreement([brain[0][:, 0] for brain in brains]))


def test_the_template_lies_in_the_middle_and_is_the_mean(brains, group):
    (template,), warps, _ = group
    assert np.linalg.norm(away(warps), axis=1).mean() < 0.2
    assert degrees_between(warps[0].places, GRID.mesh.vertices).mean() > 1.0
    here = GRID.mesh.vertices
    seen = [GRID.locator.interpolate(w.inverse(here), b[0]) for w, b in zip(warps, brains, strict=True)]
    np.testing.assert_allclose(template, GRID.standardised(np.mean(seen, axis=0)))


def test_the_order_of_brains_does_not_matter(brains, group, monkeypatch):
    monkeypatch.setattr(demons, "SEARCH_DEG", 1.0)
    (template,), warps, _ = group
    (again,), others, _ = group_template(brains[::-1], Stiffness(), STAGES)
    np.testing.assert_allclose(again, template, atol=1e-6)
    for one, other in zip(warps, others[::-1], strict=True):
        assert degrees_between(one.places, other.places).max() < 1e-4


def test_centring_takes_away_what_all_maps_have_in_common():
    """Two maps that lead to a sphere that is bent against the middle of both."""
    here = ball(2).vertices
    bent = [Warp(2, warped(warped(here, 5.0, seed), 4.0, seed=9)) for seed in (1, 2)]
    before, after = (np.linalg.norm(away(warps), axis=1).mean() for warps in (bent, centred(bent)))
    assert after < 0.2 * before


def test_centring_keeps_what_corresponds():
    here = ball(2).vertices
    one, other = (Warp(2, warped(here, 6.0, seed)) for seed in (1, 2))
    asked = directions(300)
    moved_one, moved_other = centred([one, other])
    same = other.inverse(one(asked))
    assert degrees_between(moved_other.inverse(moved_one(asked)), same).mean() < 0.3
