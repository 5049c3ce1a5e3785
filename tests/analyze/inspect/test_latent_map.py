"""Maps: PCA as by hand, t-SNE the same twice, UMAP where it is installed."""

from importlib.util import find_spec

import numpy as np
import pytest

from cytomesh.analyze.inspect.config import MapConfig
from cytomesh.analyze.inspect.latent_map import latent_map
from cytomesh.core.errors import FeatureError, PackageError


@pytest.fixture
def features():
    """Two clusters of directions, of any length."""
    random = np.random.default_rng(0)
    directions = np.repeat([[1.0, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0]], 40, axis=0) + 0.1 * random.normal(size=(80, 6))
    return directions * random.uniform(1, 9, (80, 1))


def test_principal_components_of_unit_vectors(features):
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    found = latent_map(features, MapConfig(method="pca"), 0)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :2] * s[:2]), atol=1e-9)


def test_tsne_keeps_clusters_apart_and_comes_out_the_same(features):
    settings = MapConfig(method="tsne", neighbours=500)  # more than there are nodes: as many as fit
    found = latent_map(features.astype(np.float32), settings, 3)
    centres = found[:40].mean(axis=0), found[40:].mean(axis=0)
    spread = max(
        np.linalg.norm(part - centre, axis=1).mean()
        for part, centre in zip((found[:40], found[40:]), centres, strict=True)
    )
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    np.testing.assert_array_equal(found, latent_map(features.astype(np.float32), settings, 3))


@pytest.mark.skipif(find_spec("umap") is not None, reason="umap-learn is installed")
def test_umap_says_what_to_install(features):
    with pytest.raises(PackageError, match=r"pip install 'cytomesh\[umap\]'"):
        latent_map(features, MapConfig(method="umap"), 0)


@pytest.mark.skipif(find_spec("umap") is None, reason="umap-learn is not installed")
@pytest.mark.filterwarnings("ignore")
def test_umap_keeps_clusters_apart(features):
    found = latent_map(features, MapConfig(method="umap", neighbours=10), 0)
    assert found.shape == (80, 2) and np.isfinite(found).all()


def test_a_few_nodes_are_no_map(features):
    with pytest.raises(FeatureError, match="found 3 nodes, expected 4 or more"):
        latent_map(features[:3], MapConfig(), 0)


@pytest.mark.parametrize("method", ["tsne", "pca", "umap"])
@pytest.mark.parametrize("values", [np.ones((20, 1)), np.outer(np.arange(1, 21), [1.0, 2.0, 3.0]), np.zeros((20, 4))])
def test_features_of_one_direction_are_no_map(method, values):
    """t-SNE would divide by their spread, which is 0, and take the process down."""
    with pytest.raises(FeatureError, match=r"one direction at all drawn nodes.*centred: true"):
        latent_map(values, MapConfig(method=method), 0)
