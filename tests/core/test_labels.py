import unicodedata

import numpy as np
import pytest

from cytomesh.core.errors import AtlasError
from cytomesh.core.labels import LabelTable, distinct_colours


def test_names_and_indices():
    table = LabelTable.from_names(["hOc1", "4a"])
    assert (table.index("4a"), table.name(2), table.name(0)) == (2, "4a", "none")
    with pytest.raises(AtlasError, match="unknown area 'hOc9'.*hOc1"):
        table.index("hOc9")


def test_labels_outside_the_table_are_named():
    table = LabelTable.from_names(["a", "b"])
    table.check(np.array([0, 1, 2]), "ok")
    with pytest.raises(AtlasError, match=r"annot.png.*\[3, 7\]"):
        table.check(np.array([0, 3, 7]), "annot.png")


@pytest.mark.parametrize(("indices", "names"), [((0, 1), ("a", "b")), ((1, 1), ("a", "b")), ((1, 2), ("a", "a"))])
def test_bad_tables_are_refused(indices, names):
    with pytest.raises(AtlasError):
        LabelTable(indices, names, np.ones((2, 4)))


def test_colours_are_distinct():
    colours = distinct_colours(120)
    gaps = np.abs(colours[:, None, :3] - colours[None, :, :3]).sum(-1) + 9 * np.eye(120)
    assert gaps.min() > 0.02
    assert ((colours >= 0) & (colours <= 1)).all()


def test_columns_are_rows_of_the_table_in_any_order():
    table = LabelTable((5, 2, 9), ("e", "b", "i"), np.ones((3, 4)))
    labels = np.array([0, 2, 9, 5, 5, 0])
    slow = [-1 if label == 0 else table.indices.index(label) for label in labels.tolist()]
    assert table.columns(labels).tolist() == slow
    with pytest.raises(AtlasError, match=r"outside the label table: \[3, 7\]"):
        table.columns(np.array([2, 7, 3]))


def test_large_labels_are_compared_exactly():
    """NumPy compares uint64 with int64 as float64, in which 2**53 + 1 is 2**53."""
    table = LabelTable((2**31 - 1,), ("last",), np.ones((1, 4)))
    table.check(np.array([2**31 - 1], np.uint64), "ok")
    for value, kind in ((2**32 + 1, np.int64), (2**31 + 1, np.uint32), (2**63 + 1, np.uint64)):
        with pytest.raises(AtlasError, match=rf"\[{value}\]"):
            table.check(np.array([0, value], kind), "large")


@pytest.mark.parametrize("index", [0, 2**31])
def test_indices_that_no_label_array_holds(index):
    with pytest.raises(AtlasError, match=rf"\[{index}\], expected positive, unique integers up to 2147483647"):
        LabelTable((index, 1), ("a", "b"), np.ones((2, 4)))


def test_accents_that_macos_writes_apart_are_those_of_others():
    table = LabelTable.from_names([unicodedata.normalize("NFD", "pré-SMA"), "V1"])
    assert table.names[0] == "pr\u00e9-SMA"
    assert table.index("pr\u00e9-SMA") == table.index("pre\u0301-SMA") == 1
    with pytest.raises(AtlasError, match="listed twice"):
        LabelTable.from_names(["pr\u00e9-SMA", "pre\u0301-SMA"])
