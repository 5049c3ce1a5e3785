"""Profiles and depth as baselines."""

import numpy as np

from cytomesh.analyze.layers.baseline import DepthPrior, ProfileClassifier, grey_profiles
from cytomesh.analyze.layers.ribbon import Grid, section_ribbon
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_image
from tests.analyze.layers.test_ribbon import CENTRE, PIAL_PX, UM, WHITE_PX, rings

K = 24


def columns_of_layers(n, seed):
    """Columns whose layers end at random depths, and profiles that jump there."""
    random = np.random.default_rng(seed)
    ends = np.cumsum(random.dirichlet(np.full(6, 30.0), n), axis=1)[:, :5]
    depths = (np.arange(K) + 0.5) / K
    truth = (depths[None, :, None] > ends[:, None]).sum(axis=2)
    grey = np.array([0.0, 1.0, 0.2, 0.9, 0.4, 1.1])[truth] + 0.05 * random.normal(size=truth.shape)
    return grey.astype(np.float32), truth.astype(np.int32)


def test_profiles_tell_more_than_depth():
    profiles, truth = columns_of_layers(600, 0)
    truth[:20, :5] = -1  # not drawn
    new, expected = columns_of_layers(200, 1)
    by_profile = ProfileClassifier.fit(profiles, truth).predict(new)
    by_depth = DepthPrior.fit(truth).predict(new)
    for found in (by_profile, by_depth):
        assert found.shape == (200, K, 6)
        np.testing.assert_allclose(found.sum(axis=2), 1.0, rtol=1e-5)
    share = [(found.argmax(axis=2) == expected).mean() for found in (by_depth, by_profile)]
    assert 0.7 < share[0] < share[1] - 0.05


def test_depth_prior_counts():
    truth = np.array([[0, 0, -1], [0, 1, 5]])
    found = DepthPrior.fit(truth).probabilities
    np.testing.assert_allclose(found[0], np.array([2.5, 0.5, 0.5, 0.5, 0.5, 0.5]) / 5)
    np.testing.assert_allclose(found[2, 5], 1.5 / 4)


def test_layers_of_no_training_column_are_not_found():
    profiles, truth = columns_of_layers(100, 0)
    truth[:, 0], truth[:, 1] = -1, 3
    found = ProfileClassifier.fit(profiles, truth).predict(profiles)
    np.testing.assert_allclose(found[:, 0], 1 / 6, rtol=1e-6)
    assert (found[:, 1].argmax(axis=1) == 3).all()


def test_profiles_are_read_along_columns_whatever_the_stain(tmp_path):
    rows, columns = np.mgrid[:200, :200]
    depth = np.clip((PIAL_PX - np.hypot(rows - CENTRE, columns - CENTRE)) / (PIAL_PX - WHITE_PX), 0, 1)
    grid = Grid.of((200, 200), UM, UM)
    own = section_ribbon(rings(), grid, UM, K).columns
    found = []
    for gain, offset in ((120, 40), (60, 90)):
        path = tmp_path / f"{gain}.ome.zarr"
        write_ome_zarr(path, (offset + gain * depth).round().astype(np.uint8), UM)
        with open_image(path) as image:
            found.append(grey_profiles(image, UM, own, UM, 0.1))
    np.testing.assert_allclose(found[0], found[1], atol=0.05)
    assert np.corrcoef(found[0].mean(axis=0), np.arange(K))[0, 1] > 0.999
    assert abs(found[0].mean()) < 1e-5
