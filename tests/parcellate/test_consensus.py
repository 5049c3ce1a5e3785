"""Co-assignment by tables against the consensus matrix itself."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cytomesh.parcellate.consensus import node_agreement, node_confidence, pair_scores


def by_matrix(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Rows of the two (n, n) co-assignment matrices, compared one by one. Slow on purpose."""
    first, second = (labels[:, None] == labels for labels in (one, two))
    return np.array([(a & b).sum() / (a | b).sum() for a, b in zip(first, second, strict=True)])


def test_tables_give_what_the_matrices_give() -> None:
    rng = np.random.default_rng(0)
    one, two, three = rng.integers(3, 9, 80), rng.integers(5, size=80), rng.integers(12, size=80)
    np.testing.assert_allclose(node_agreement(one, two), by_matrix(one, two))
    expected = (by_matrix(one, two) + by_matrix(one, three)) / 2
    np.testing.assert_allclose(node_confidence(one, [two, three]), expected)


def test_numbers_of_labels_do_not_matter() -> None:
    one = np.repeat([4, 1, 7], 10)
    np.testing.assert_array_equal(node_agreement(one, 100 - one), 1.0)
    assert pair_scores(one, 100 - one) == pytest.approx({"ami": 1.0, "ari": 1.0, "co_assignment": 1.0})


def test_a_divided_parcel_is_uncertain_and_the_others_are_not() -> None:
    one = np.repeat([0, 1], [20, 20])
    two = np.repeat([0, 1, 2], [20, 15, 5])
    assert node_agreement(one, two) == pytest.approx(np.repeat([1.0, 0.75, 0.25], [20, 15, 5]))


def test_scores_count_every_node() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.integers(4, size=60), rng.integers(4, size=60)  # 0 is a label like any other
    assert pair_scores(one, two)["ari"] == pytest.approx(adjusted_rand_score(one, two))


def test_one_parcel_alone_has_no_ami() -> None:
    assert set(pair_scores(np.repeat([0, 1], 20), np.zeros(40, int))) == {"co_assignment"}
