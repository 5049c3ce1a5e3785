"""Columns that a graph takes over keep their words and numbers, or are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cytomesh.core.errors import GraphError
from cytomesh.graph.vertex_columns import feature_of, numbers_of, roles_of, sections_of

PATH = Path("/own/c.csv")


def test_roles_are_whole_words():
    words = np.array(["train", "test", "val", "none", "", None], object)
    assert roles_of(PATH, words).tolist() == ["train", "test", "val", "none", "none", "none"]
    assert roles_of(PATH, np.full(2, np.nan)).tolist() == ["none", "none"]
    with pytest.raises(GraphError, match=r"c\.csv: section_role: found roles Train, holdout, expected one of train"):
        roles_of(PATH, np.array(["Train", "holdout", "test"]))


def test_sections_are_whole_numbers():
    assert sections_of(PATH, np.array([1.0, np.nan, 2**31 - 1])).tolist() == [1, -1, 2**31 - 1]
    for wrong in (5_000_000_000, 3.7, -2, np.inf):
        with pytest.raises(GraphError, match=r"c\.csv: section: found"):
            sections_of(PATH, np.array([1, wrong]))
    with pytest.raises(GraphError, match=r"section: found text, such as 'A0' at node 2 .*areas as 'labels'"):
        sections_of(PATH, np.array(["7", "n/a", "A0"], object))


def test_numbers_fit_their_type():
    assert numbers_of(PATH, "a", np.array([1e300, np.inf]), np.float64).tolist() == [1e300, np.inf]
    with pytest.raises(GraphError, match=r"a: found 1e\+300 and the like, expected numbers up to 3\.4e\+38"):
        numbers_of(PATH, "a", np.array([0, np.inf, 1e300]), np.float32)
    with pytest.raises(GraphError, match="no value at any vertex"):
        feature_of(PATH, "a", np.full(3, np.nan))
    with pytest.raises(GraphError, match=r"a: found values of type complex64, expected numbers"):
        numbers_of(PATH, "a", np.ones(3, np.complex64), np.float32)
