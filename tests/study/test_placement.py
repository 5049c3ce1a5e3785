from pathlib import Path

import numpy as np
import pytest

from cytomesh.study.placement import check_maps, check_placement
from cytomesh.study.transforms import ReferenceTransform

MANIFEST = Path("study.yaml")
AFFINE = np.eye(4)
AFFINE[:3, 3] = -2.0, 8.0, 9.0
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def egg(n=3000, noise_mm=0.0):
    """An egg as large as a left hemisphere, like itself in no other orientation; (n, 3) mm."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= 1 + 0.25 * points[:, 1:2] + 0.2 * points[:, 2:] * points[:, 1:2]
    points = points * (30.0, 80.0, 55.0) + (-35.0, -22.0, 20.0)
    return points + noise_mm * rng.normal(size=points.shape)


def check(world, affine=AFFINE, template=True, maps=None):
    surfaces = {"L": egg()} if template else {}
    return check_placement(MANIFEST, "B", {"L": world}, ReferenceTransform(affine), surfaces, maps)


WORLD = ReferenceTransform(AFFINE).invert(egg(noise_mm=2.0))


@pytest.mark.parametrize(
    "world", [WORLD, WORLD[WORLD[:, 1] > 30], WORLD[WORLD[:, 2] > 20], WORLD * 1.05, WORLD + np.array([5.0, -4.0, 3.0])]
)
def test_good_brains_and_blocks_pass(world):
    assert check(world) == [] and check(world, template=False, maps=egg()) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_brains_are_named(axis):
    signs = np.where(np.arange(3) == axis, -1.0, 1.0)
    for problems in (check(WORLD * signs), check(WORLD * signs, template=False, maps=egg())):
        assert f"with {'xyz'[axis]} of to_world turned round" in problems[0].found


@pytest.mark.parametrize(
    ("affine", "found"),
    [
        (np.linalg.inv(AFFINE), "by the inverse of the affine"),
        (LPS @ AFFINE, "with x and y of the reference space turned round"),
        (np.diag([1000.0, 1000.0, 1000.0, 1.0]) @ AFFINE, "where the template's pial surface extends"),
    ],
)
def test_wrong_affines_are_named(affine, found):
    (problem,) = check(WORLD, affine)
    assert found in problem.found and problem.source == "study.yaml"


def test_maps_are_compared_with_the_template():
    areas = egg()[:300]
    assert check_maps(MANIFEST, areas, {"L": egg()}) == []
    assert check_maps(MANIFEST, areas, {}) == []
    (mirrored,) = check_maps(MANIFEST, areas * (-1, 1, 1), {"L": egg()})
    assert "with x turned round" in mirrored.found
    (small,) = check_maps(MANIFEST, areas / 1000, {"L": egg()})
    assert "unit" in small.hint
