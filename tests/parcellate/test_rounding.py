"""Labels from eigenvectors, and the normalised cut by loops."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

from cytomesh.parcellate.config import SpectralConfig
from cytomesh.parcellate.rounding import cluster_qr, normalised_cut, spectral_labels
from cytomesh.parcellate.spectral import lowest_eigenpairs


def cut_by_loops(weights: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for label in np.unique(labels):
        inside = labels == label
        total += weights[inside][:, ~inside].sum() / weights[inside].sum()
    return total


def blocks(sizes: list[int], between: float) -> tuple[sp.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(len(sizes)), sizes)
    weights = np.where(block[:, None] == block, 1.0, between * rng.random((len(block), len(block))))
    return sp.csr_matrix(0.5 * (weights + weights.T) * (1 - np.eye(len(block)))), block


def test_normalised_cut() -> None:
    weights, block = blocks([10, 20, 15], 0.2)
    labels = np.random.default_rng(1).integers(4, size=len(block))
    np.testing.assert_allclose(normalised_cut(weights, labels), cut_by_loops(weights.toarray(), labels))


def test_planted_blocks_are_found_both_ways() -> None:
    weights, block = blocks([30, 60, 20, 45], 0.1)
    vectors = lowest_eigenpairs(weights, 4, SpectralConfig(), 0).vectors
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert adjusted_rand_score(cluster_qr(rows), block) == 1.0
    for restarts in (0, 2):
        labels, cut = spectral_labels(vectors, weights, restarts, 0)
        assert adjusted_rand_score(labels, block) == 1.0
        np.testing.assert_allclose(cut, cut_by_loops(weights.toarray(), block))


def test_more_candidates_never_cut_more() -> None:
    weights, _ = blocks([12] * 10, 0.9)
    vectors = lowest_eigenpairs(weights, 10, SpectralConfig(), 0).vectors
    assert spectral_labels(vectors, weights, 3, 0)[1] <= spectral_labels(vectors, weights, 0, 0)[1]
