"""Mean similarities from sums, beside loops over every pair."""

import numpy as np
import pytest

from cytomesh.analyze.inspect import similarity
from cytomesh.analyze.inspect.similarity import area_similarity
from cytomesh.core.errors import FeatureError


def by_loops(features, labels, brains):
    """Every pair, one after the other. Slow on purpose."""
    areas = sorted(set(labels) - {0})
    pairs = {kind: [[[] for _ in areas] for _ in areas] for kind in ("mean", "within", "between")}
    for i, own in enumerate(labels):
        for j, other in enumerate(labels):
            if i == j or 0 in (own, other) or np.isnan(features[[i, j]]).any():
                continue
            lengths = np.linalg.norm(features[i]) * np.linalg.norm(features[j])
            cosine = features[i] @ features[j] / lengths if lengths else 0.0
            a, b = areas.index(own), areas.index(other)
            pairs["mean"][a][b].append(cosine)
            pairs["within" if brains[i] == brains[j] else "between"][a][b].append(cosine)
    return {kind: [[np.mean(cell) if cell else np.nan for cell in row] for row in rows] for kind, rows in pairs.items()}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_sums_give_the_means_over_all_pairs(monkeypatch, dtype):
    monkeypatch.setattr(similarity, "CHUNK_ROWS", 7)
    random = np.random.default_rng(0)
    features = (random.normal(size=(41, 5)) + 0.5).astype(dtype)
    labels = random.choice([0, 2, 3, 9], 41)
    brains = random.choice(["B01", "B02", "B03"], 41)
    labels[0], features[1], features[2] = 12, np.nan, 0  # an area of one node, a node without features, one of zeros
    labels[2] = 3
    found = area_similarity(features, labels, brains)
    expected = by_loops(features.astype(float), labels, brains)
    assert found.areas.tolist() == [2, 3, 9, 12] and found.n_nodes[-1] == 1
    for kind in ("mean", "within", "between"):
        np.testing.assert_allclose(getattr(found, kind), expected[kind], atol=1e-12)
    assert np.isnan(found.mean[3, 3])


def test_one_brain_has_no_pairs_between_brains():
    random = np.random.default_rng(1)
    features, labels = random.normal(size=(20, 4)), np.repeat([1, 2], 10)
    found = area_similarity(features, labels)
    assert np.isnan(found.between).all()
    np.testing.assert_allclose(found.within, found.mean)


@pytest.mark.parametrize("labels", [np.zeros(6, int), np.array([0, 4, 4, 4, 0, 4])])
def test_one_area_is_refused(labels):
    with pytest.raises(FeatureError, match=r"of [01] areas?, expected two areas or more"):
        area_similarity(np.ones((6, 3)), labels)
