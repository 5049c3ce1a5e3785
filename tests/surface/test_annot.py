import nibabel.freesurfer as freesurfer
import numpy as np
import pytest

from cytomesh.core.errors import AtlasError
from cytomesh.core.labels import LabelTable
from cytomesh.surface.annot import write_annot

COLOURS = np.array([[1.0, 0.0, 0.0, 1.0], [0.2, 0.4, 0.6, 1.0], [0.0, 0.0, 0.0, 1.0]])


def test_labels_names_and_colours_come_back(tmp_path):
    table = LabelTable((7, 2, 40), ("V1", "BA 4", "Æ"), COLOURS)
    labels = np.array([0, 7, 7, 2, 40, 0])
    write_annot(tmp_path / "lh.test.annot", labels, table)
    rows, colours, names = freesurfer.read_annot(tmp_path / "lh.test.annot")
    assert rows.tolist() == [0, 1, 1, 2, 3, 0]
    assert [name.decode() for name in names] == ["unknown", "V1", "BA 4", "Æ"]
    assert colours[:3, :3].tolist() == [[25, 5, 25], [255, 0, 0], [51, 102, 153]]
    assert (colours[:, 3] == 0).all()


@pytest.mark.parametrize("n", [2, 300])
def test_labels_of_one_colour_stay_apart(tmp_path, n):
    # the last colour is next to that of "unknown"
    colours = np.vstack([np.ones((min(n, 200), 4)), np.tile([25 / 255, 5 / 255, 25 / 255, 1.0], (n - min(n, 200), 1))])
    table = LabelTable(tuple(range(1, n + 1)), tuple(f"A{i}" for i in range(n)), colours)
    labels = np.arange(n + 1)
    write_annot(tmp_path / "rh.test.annot", labels, table)
    assert (freesurfer.read_annot(tmp_path / "rh.test.annot")[0] == labels).all()


def test_an_unknown_label_is_refused(tmp_path):
    with pytest.raises(AtlasError, match="outside the label table"):
        write_annot(tmp_path / "lh.test.annot", np.array([0, 3]), LabelTable.from_names(["a", "b"]))
    assert not list(tmp_path.iterdir())
