"""Hemispheres on fsaverage: each on that of its side; sides that are exchanged are noticed."""

from functools import partial

import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.register import demons
from cytomesh.register.config import RegisterConfig
from cytomesh.register.demons import Stiffness
from cytomesh.register.distortion import is_flipped
from cytomesh.register.hemispheres import Hemisphere, mirrored
from cytomesh.register.template import _carried, _check_one_side, registered
from cytomesh.register.warp import Stage, Warp, pattern_of, warp_onto
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.mesh import Mesh
from tests.register.bodies import ball, bumpy, degrees_between, warped

# coarser than the stage's own, to be quick
STAGES = (Stage(2, 1.2), Stage(3, 1.6), Stage(3, 1.6))


def hemisphere(side):
    packaged = fsaverage5(side)
    pial, white = packaged["pial"], packaged["white"]
    return Hemisphere(Mesh((pial.vertices + white.vertices) / 2.0, pial.faces), packaged["sphere"])


@pytest.fixture(scope="module")
def own():
    """fsaverage's hemispheres on fsaverage."""
    pair = [hemisphere("L"), hemisphere("R")]
    return pair, registered(pair, "LR", RegisterConfig(), STAGES)


def test_each_hemisphere_of_the_template_is_itself(own):
    for given, found in zip(*own, strict=True):
        np.testing.assert_array_equal(found.on_side.faces, given.sphere.faces)
        assert degrees_between(found.on_side.vertices, given.sphere.vertices).max() < 0.01
        np.testing.assert_allclose(np.linalg.norm(found.on_side.vertices, axis=1), 100.0)


def test_the_right_one_is_mirrored_on_the_left(own):
    (_, given), (left, right) = own
    assert left.in_common is left.on_side
    assert left.correlation == pytest.approx(1.0)
    np.testing.assert_array_equal(right.in_common.faces, given.sphere.faces[:, ::-1])
    assert right.correlation > 0.7
    moved = degrees_between(right.in_common.vertices, mirrored(given.sphere).vertices)
    assert 0.5 < moved.mean() < 15.0
    assert not is_flipped(right.in_common.vertices, right.in_common.faces).any()


def test_another_sphere_of_a_hemisphere_is_brought_to_the_same_place():
    """One that is bent by up to 15 degrees is no reason to take it for the other side's."""
    given = hemisphere("R")
    bent = Mesh(100.0 * warped(given.sphere.vertices / 100.0, 15.0), given.sphere.faces)
    (found,) = registered([Hemisphere(given.surface, bent)], "R", RegisterConfig(), STAGES)
    before, after = (degrees_between(m.vertices, given.sphere.vertices).mean() for m in (bent, found.on_side))
    assert before > 6.0
    assert after < 0.5 * before


@pytest.mark.parametrize(("is_of", "given_as", "words"), [("R", "L", "right"), ("L", "R", "left")])
def test_a_hemisphere_of_the_other_side_is_refused(is_of, given_as, words):
    with pytest.raises(SurfaceError, match=f"hemisphere 1.*folds of a {words} hemisphere"):
        registered([hemisphere(is_of)], given_as, RegisterConfig(), STAGES)


def check_one_side(given, sides, names):
    common = [h if side == "L" else h.mirrored for h, side in zip(given, sides, strict=True)]
    patterns = [pattern_of(h.surface, h.sphere, STAGES[:1]) for h in common]
    mirror = pattern_of(common[0].mirrored.surface, common[0].mirrored.sphere, STAGES[:1])
    onto = partial(warp_onto, stiffness=Stiffness(), stages=STAGES[:1])
    _check_one_side(patterns, mirror, names, onto, map)


@pytest.mark.parametrize(("sides", "odd"), [("LLLR", "B04"), ("LRRR", "B01")])
def test_a_hemisphere_unlike_most_of_a_study_is_named(monkeypatch, sides, odd):
    """All are left ones; those given as right ones are mirrored. The lesser part is named, be it first or not."""
    monkeypatch.setattr(demons, "SEARCH_DEG", 0.0)  # they are turned alike
    body = bumpy(3)
    names = [f"B0{number}" for number in range(1, 5)]
    others = ", ".join(name for name in names if name != odd)
    with pytest.raises(SurfaceError, match=f"^{odd}: found folds like the mirror image of {others},.*exchange the"):
        check_one_side([Hemisphere(body, ball(3))] * 4, sides, names)


def test_two_sides_of_a_brain_are_told_from_one_twice(monkeypatch):
    monkeypatch.setattr(demons, "SEARCH_DEG", 0.0)
    pair = [hemisphere("L"), hemisphere("R")]
    for sides in ("LR", "RL"):  # where all are exchanged, what corresponds still does
        check_one_side(pair, sides, ["one", "other"])
    for sides in ("LL", "RR"):
        with pytest.raises(SurfaceError, match="other: found folds like the mirror image of one"):
            check_one_side(pair, sides, ["one", "other"])


def test_a_study_is_checked(monkeypatch):
    monkeypatch.setattr(demons, "SEARCH_DEG", 0.0)
    given = [Hemisphere(bumpy(3), ball(3))] * 2
    with pytest.raises(SurfaceError, match="hemisphere 2: found folds like the mirror image of hemisphere 1"):
        registered(given, "LR", RegisterConfig(template="study"), STAGES)
    (one, _) = registered(given, "LL", RegisterConfig(template="study"), STAGES[:1] * 3)
    assert [stage["grid"] for stage in one.stages] == [162, 162, 162]


def test_what_stays_flipped_is_an_error():
    given = hemisphere("L")
    inward = Hemisphere(given.surface, Mesh(given.sphere.vertices * [-1.0, 1.0, 1.0], given.sphere.faces))
    with pytest.raises(SurfaceError, match=r"F01_hemi-L: sphere.reg: found .* flipped triangles.*raise stiffness"):
        _carried("F01_hemi-L", inward.sphere, Warp(2, ball(2).vertices))
