import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.phantom.areas import draw_atlas, probability_maps, vary
from cytomesh.phantom.config import AreaConfig, DisplacementConfig
from cytomesh.phantom.displacement import association


@pytest.fixture(scope="module")
def atlas(cortex):
    return draw_atlas(cortex, 44, 0)[0]


def pieces(labels, cortex):
    """Number of connected pieces of each area, by a search over edges."""
    edges = cortex.edges[labels[cortex.edges[:, 0]] == labels[cortex.edges[:, 1]]]
    n = len(labels)
    _, piece = sp.csgraph.connected_components(
        sp.csr_matrix((np.ones(len(edges)), edges.T), shape=(n, n)), directed=False
    )
    return [len(np.unique(piece[labels == area])) for area in range(1, labels.max() + 1)]


def test_areas_tile_the_cortex_and_are_connected(cortex, atlas):
    assert set(np.unique(atlas)) == set(range(45))
    assert ((atlas == 0) == cortex.is_medial_wall).all()
    assert pieces(atlas, cortex) == [1] * 44
    sizes = np.bincount(atlas)[1:]
    assert 2 < sizes.max() / sizes.min() < 20


def test_brains_vary_around_the_atlas(cortex, atlas):
    first, second = (vary(atlas, cortex, AreaConfig(variation_mm=3.5), 0, brain) for brain in ("B01", "B02"))
    for labels in (first, second):
        assert pieces(labels, cortex) == [1] * 44
        assert 0.75 < (labels == atlas)[atlas > 0].mean() < 0.97
        assert ((labels == 0) == cortex.is_medial_wall).all()
    assert (first != second).any()


def test_displaced_areas_stay_whole_and_agree_less(cortex, atlas):
    settings = AreaConfig(variation_mm=1.0, displacement=DisplacementConfig(primary_mm=3.0, association_mm=8.0))
    labels = vary(atlas, cortex, settings, 0, "B01")
    assert pieces(labels, cortex) == [1] * 44
    assert ((labels == 0) == cortex.is_medial_wall).all()
    kept = labels == atlas
    share = association(cortex)
    cortical = ~cortex.is_medial_wall
    assert 0.6 < kept[cortical & (share > 0.95)].mean() < 0.83
    assert kept[cortical & (share < 0.3)].mean() > 0.83


def test_probability_maps_are_probabilities_of_the_training_brains(cortex, atlas):
    labels = [vary(atlas, cortex, AreaConfig(variation_mm=3.5), 0, brain) for brain in ("B01", "B02")]
    maps, affine = probability_maps([cortex.midsurface] * 2, labels, 44, 4.0, 3.0)
    assert maps.min() >= 0 and maps.max() <= 1 and maps.sum(axis=-1).max() <= 1 + 1e-5
    voxel = np.rint((cortex.midsurface - affine[:3, 3]) / 4.0).astype(int)
    at_nodes = maps[tuple(voxel.T)]
    agreed = (labels[0] == labels[1]) & (labels[0] > 0)
    assert (at_nodes.argmax(axis=1) + 1 == labels[0])[agreed].mean() > 0.7
