import numpy as np
import pytest

from cytomesh.phantom.areas import draw_atlas
from cytomesh.phantom.profiles import CELLS_UM, RANGES, cell_area_um2, class_shares, draw_profiles


@pytest.fixture(scope="module")
def drawn(cortex):
    labels, seeds = draw_atlas(cortex, 44, 0)
    return draw_profiles(cortex.sphere[seeds], 1.0, 0), labels, cortex


def test_profiles_lie_in_published_ranges(drawn):
    profiles = drawn[0]
    for quantity, limits in RANGES.items():
        values = getattr(profiles, quantity)
        assert (values >= limits[:, 0]).all() and (values <= limits[:, 1]).all(), quantity
    assert np.allclose(profiles.thickness.sum(axis=1), 1)
    assert len(profiles.thickness) == 45


def test_areas_have_equal_ink(drawn):
    ink = (drawn[0].thickness * drawn[0].ink).sum(axis=1)
    assert np.allclose(ink, ink[0])


def test_neighbours_resemble_each_other(drawn):
    profiles, labels, cortex = drawn
    standard = np.log(np.concatenate([profiles.thickness, profiles.density, profiles.size], axis=1))[1:]
    standard = (standard - standard.mean(axis=0)) / standard.std(axis=0)
    distance = np.linalg.norm(standard[:, None] - standard[None], axis=2)
    a, b = labels[cortex.edges].T
    pairs = (a > 0) & (b > 0) & (a != b)
    near = np.zeros((44, 44), bool)
    near[a[pairs] - 1, b[pairs] - 1] = near[b[pairs] - 1, a[pairs] - 1] = True
    far = ~near & ~np.eye(44, dtype=bool)
    assert distance[near].mean() < 0.9 * distance[far].mean()
    assert distance[near].min() > 0.5


def test_layers_by_comparison(drawn):
    profiles = drawn[0]
    rng = np.random.default_rng(0)
    labels, depths = rng.integers(0, 45, 200).astype(np.int32), rng.random(200)
    for label, depth, layer in zip(labels, depths, profiles.layers(labels, depths), strict=True):
        edges = [0, *np.cumsum(profiles.thickness[label])]
        assert edges[layer - 1] <= depth <= edges[layer] + 1e-9


def test_cells_by_hand():
    shares = class_shares(np.array(11.0))
    assert np.isclose(shares.sum(), 1) and shares.argmax() == 1
    assert np.isclose(
        cell_area_um2(np.array(11.0)), sum(s * np.pi / 4 * d**2 for s, d in zip(shares, CELLS_UM, strict=True))
    )
