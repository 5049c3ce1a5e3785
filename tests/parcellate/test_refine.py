"""The local search on the normalised cut against trying every move."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.parcellate.refine import refine_cut
from cytomesh.parcellate.rounding import normalised_cut


def grid(side: int, seed: int) -> sp.csr_matrix:
    """A side x side grid with random weights, weak along one line."""
    rng = np.random.default_rng(seed)
    index = np.arange(side * side).reshape(side, side)
    pairs = np.concatenate(
        [
            np.stack([index[:-1].ravel(), index[1:].ravel()], 1),
            np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], 1),
        ]
    )
    weights = rng.uniform(0.5, 1.0, len(pairs))
    is_crossing = (pairs[:, 0] % side < side // 2) != (pairs[:, 1] % side < side // 2)
    weights[is_crossing] *= 0.05
    upper = sp.csr_matrix((weights, tuple(pairs.T)), shape=(side**2,) * 2)
    return sp.csr_matrix(upper + upper.T)


@pytest.mark.parametrize("seed", range(4))
def test_no_single_move_is_left_that_makes_the_cut_smaller(seed: int) -> None:
    weights = grid(8, seed)
    labels = np.random.default_rng(seed).integers(4, size=64)
    labels[:4] = range(4)
    found = refine_cut(labels, weights)
    least = normalised_cut(weights, found)
    assert least < normalised_cut(weights, labels)
    assert set(found) == {0, 1, 2, 3}
    for node in range(64):
        around = set(found[weights[node].indices]) - {found[node]}
        if (found == found[node]).sum() > 1:
            for label in around:
                moved = found.copy()
                moved[node] = label
                assert normalised_cut(weights, moved) >= least - 1e-9


def test_a_rough_border_becomes_the_weak_line() -> None:
    weights, side = grid(12, 0), 12
    truth = (np.arange(side * side) % side >= side // 2).astype(np.int64)
    rough = truth.copy()
    rng = np.random.default_rng(1)
    near = np.flatnonzero(np.isin(np.arange(side * side) % side, (side // 2 - 1, side // 2)))
    rough[rng.choice(near, 8, replace=False)] ^= 1
    np.testing.assert_array_equal(refine_cut(rough, weights), truth)
    np.testing.assert_array_equal(refine_cut(truth, weights), truth)


def test_labels_given_are_not_changed_and_isolated_nodes_stay() -> None:
    weights = sp.csr_matrix(sp.block_diag([grid(6, 2), sp.csr_matrix((2, 2))]))
    labels = np.r_[np.arange(36) % 3, 1, 2]
    before = labels.copy()
    found = refine_cut(labels, weights)
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(found[36:], [1, 2])
