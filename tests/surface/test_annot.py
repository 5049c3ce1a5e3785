import nibabel.freesurfer as freesurfer
import numpy as np
import pytest

from cytomesh.core.errors import AtlasError, SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.surface.annot import read_annot, write_annot

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


LABELS = np.array([1, 2, 2, 0, 1, 2], np.int32)


def write_rows(path, labels=LABELS, colours=((25, 5, 25), (10, 20, 30), (40, 50, 60)), names=("unknown", "V1", "V2")):
    rgbt = np.column_stack([colours, np.zeros(len(colours))]).astype(np.int32)
    freesurfer.write_annot(path, np.asarray(labels, np.int32), rgbt, list(names), fill_ctab=True)
    raw = path.read_bytes()
    return np.frombuffer(raw[4 : 4 + 8 * len(labels)], ">i4").reshape(-1, 2).copy(), raw[4 + 8 * len(labels) :]


def put(path, rows, table):
    path.write_bytes(np.array([len(rows)], ">i4").tobytes() + rows.astype(">i4").tobytes() + table)


def test_vertices_come_in_any_order(tmp_path):
    rows, table = write_rows(tmp_path / "lh.a.annot")
    put(tmp_path / "lh.a.annot", rows[::-1], table)
    labels, known = read_annot(tmp_path / "lh.a.annot")
    assert labels.tolist() == LABELS.tolist() and known.names == ("V1", "V2")
    rows[3, 0] = 2
    put(tmp_path / "lh.a.annot", rows, table)
    with pytest.raises(SurfaceError, match=r"vertices: found vertices that are missing"):
        read_annot(tmp_path / "lh.a.annot")


def test_rows_of_the_colour_table_come_in_any_order_and_with_gaps(tmp_path):
    rows, _ = write_rows(tmp_path / "lh.a.annot")
    words = [1, -2, 9, 2, b"x\0", 3]
    for row, name, rgb in ((7, b"V2\0", (40, 50, 60)), (0, b"unknown\0", (25, 5, 25)), (3, b"V1\0", (10, 20, 30))):
        words += [row, len(name), name, *rgb, 0]
    table = b"".join(word if isinstance(word, bytes) else np.array([word], ">i4").tobytes() for word in words)
    put(tmp_path / "lh.a.annot", rows, table)
    labels, known = read_annot(tmp_path / "lh.a.annot")
    assert labels.tolist() == LABELS.tolist() and known.names == ("V1", "V2")


@pytest.mark.parametrize("name", ["unknown", "???"])
def test_black_is_no_area(tmp_path, name):
    write_rows(tmp_path / "lh.a.annot", colours=((0, 0, 0), (10, 20, 30), (40, 50, 60)), names=(name, "V1", "V2"))
    assert read_annot(tmp_path / "lh.a.annot")[0].tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("colours", "words"),
    [
        (((25, 5, 25), (10, 20, 30), (10, 20, 30)), r"RGB \(10, 20, 30\): found 5 vertices of the colour of V1, V2"),
        (((25, 5, 25), (0, 0, 0), (10, 20, 30)), r"RGB \(0, 0, 0\): found 2 vertices of the colour of no area, V1"),
    ],
)
def test_colours_of_several_areas_are_refused(tmp_path, colours, words):
    write_rows(tmp_path / "lh.a.annot", colours=colours)
    with pytest.raises(SurfaceError, match=words):
        read_annot(tmp_path / "lh.a.annot")


def test_colours_that_the_table_lacks_are_refused(tmp_path):
    rows, table = write_rows(tmp_path / "lh.a.annot")
    rows[:2, 1] = 15 + 20 * 256 + 30 * 65536
    put(tmp_path / "lh.a.annot", rows, table)
    with pytest.raises(SurfaceError, match=r"RGB \(15, 20, 30\): found 2 vertices of a colour that"):
        read_annot(tmp_path / "lh.a.annot")
    put(tmp_path / "lh.a.annot", rows, b"")
    with pytest.raises(SurfaceError, match="no colour table"):
        read_annot(tmp_path / "lh.a.annot")
