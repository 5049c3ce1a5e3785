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
