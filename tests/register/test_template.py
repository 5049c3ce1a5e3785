"""Hemispheres on fsaverage: each on that of its side; sides that are exchanged are noticed."""

import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.register.config import RegisterConfig
from cytomesh.register.distortion import is_flipped
from cytomesh.register.hemispheres import Hemisphere, mirrored
from cytomesh.register.template import _carried, registered
from cytomesh.register.warp import Stage, Warp
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.mesh import Mesh
from tests.register.bodies import ball, degrees_between, warped

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


def test_what_stays_flipped_is_an_error():
    given = hemisphere("L")
    inward = Hemisphere(given.surface, Mesh(given.sphere.vertices * [-1.0, 1.0, 1.0], given.sphere.faces))
    with pytest.raises(SurfaceError, match=r"F01_hemi-L: sphere.reg: found .* flipped triangles.*raise stiffness"):
        _carried("F01_hemi-L", inward.sphere, Warp(2, ball(2).vertices))
