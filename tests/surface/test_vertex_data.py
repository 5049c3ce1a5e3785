"""Values and labels of vertices, from every kind of file that other programs write."""

from __future__ import annotations

from types import SimpleNamespace

import nibabel as nib
import nibabel.freesurfer as freesurfer
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nibabel.cifti2.cifti2_axes import BrainModelAxis, ScalarAxis

from cytomesh.core.errors import AtlasError, CytomeshError, SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.surface.annot import write_annot
from cytomesh.surface.cifti import write_cifti_labels
from cytomesh.surface.gifti import write_labels, write_scalars
from cytomesh.surface.vertex_data import read_vertex_data, read_vertex_labels

N = 12
FIRST, SECOND = np.linspace(0, 1, N, dtype=np.float32), np.arange(2, N + 2, dtype=np.float32)


def write(path, name):
    path = path / name
    if name.endswith(".gii"):
        write_scalars(path, {"myelin": FIRST, "thickness": SECOND}, "L")
    elif name.endswith(".npy"):
        np.save(path, np.column_stack([FIRST, SECOND]))
    elif name.endswith(".npz"):
        np.savez(path, myelin=FIRST, thickness=SECOND)
    elif name.endswith(".parquet"):
        pq.write_table(pa.table({"myelin": FIRST, "thickness": SECOND}), path)
    elif name.endswith((".csv", ".tsv")):
        comma = "," if name.endswith(".csv") else "\t"
        rows = [comma.join(["myelin", "thickness"]), *(f"{a}{comma}{b}" for a, b in zip(FIRST, SECOND, strict=True))]
        path.write_text("\n".join(rows) + "\n")
    elif name.endswith(".mgh"):
        nib.save(nib.MGHImage(np.column_stack([FIRST, SECOND]).reshape(N, 1, 1, 2), np.eye(4)), path)
    else:
        models = BrainModelAxis.from_surface(np.arange(N), N, name="CortexRight") + BrainModelAxis.from_surface(
            np.arange(N), N, name="CortexLeft"
        )
        data = np.stack([np.concatenate([-FIRST, FIRST]), np.concatenate([-SECOND, SECOND])])
        nib.save(nib.Cifti2Image(data, header=(ScalarAxis(["myelin", "thickness"]), models)), path)
    return path


@pytest.mark.parametrize(
    "name",
    ["a.func.gii", "a.shape.gii", "a.npy", "a.npz", "a.parquet", "a.csv", "a.tsv", "a.mgh", "a.dscalar.nii"],
)
def test_the_same_values_from_every_kind(tmp_path, name):
    maps = read_vertex_data(write(tmp_path, name), N, "L")
    named = ["a 1", "a 2"] if name in ("a.npy", "a.mgh") else ["myelin", "thickness"]
    assert list(maps) == named
    for values, truth in zip(maps.values(), (FIRST, SECOND), strict=True):
        np.testing.assert_allclose(values, truth, rtol=1e-6)


def test_freesurfer_measures_are_named_by_their_ending(tmp_path):
    freesurfer.write_morph_data(tmp_path / "lh.thickness", SECOND, 20)
    maps = read_vertex_data(tmp_path / "lh.thickness", N, "L")
    np.testing.assert_array_equal(maps["thickness"], SECOND)


@pytest.mark.parametrize("shape", [(1, N, 1), (N // 2, 1, 2), (1, 2, N // 2)])
def test_volumes_that_freesurfer_reshaped_keep_the_order_of_vertices(tmp_path, shape):
    both = np.column_stack([FIRST, SECOND]).astype(np.float32)
    nib.save(nib.MGHImage(both.reshape(*shape[:3], 2, order="F"), np.eye(4)), tmp_path / "a.mgh")
    for name, values in zip(("a 1", "a 2"), both.T, strict=True):
        np.testing.assert_array_equal(read_vertex_data(tmp_path / "a.mgh", N, "L")[name], values)
    nib.save(nib.MGHImage(both[:, 0].reshape(shape, order="F"), np.eye(4)), tmp_path / "b.mgz")
    (values,) = read_vertex_data(tmp_path / "b.mgz", N, "L").values()
    np.testing.assert_array_equal(values, both[:, 0])


def test_vertices_that_a_cifti_file_leaves_out_are_nan(tmp_path):
    models = BrainModelAxis.from_surface(np.array([7, 3]), N, name="CortexLeft")
    image = nib.Cifti2Image(np.array([[1.0, 2.0]]), header=(ScalarAxis(["a"]), models))
    nib.save(image, tmp_path / "a.dscalar.nii")
    values = read_vertex_data(tmp_path / "a.dscalar.nii", N, "L")["a"]
    assert values[7] == 1.0 and values[3] == 2.0 and np.isnan(np.delete(values, [3, 7])).all()
    with pytest.raises(SurfaceError, match="CORTEX_RIGHT"):
        read_vertex_data(tmp_path / "a.dscalar.nii", N, "R")


def test_maps_of_one_name_are_all_read(tmp_path):
    image = nib.gifti.GiftiImage()
    for values in (FIRST, SECOND):
        image.add_gifti_data_array(nib.gifti.GiftiDataArray(values, intent="NIFTI_INTENT_NONE"))
    nib.save(image, tmp_path / "run.func.gii")
    np.testing.assert_allclose(
        np.stack(list(read_vertex_data(tmp_path / "run.func.gii", N, "L").values())), [FIRST, SECOND]
    )


@pytest.mark.parametrize("name", ["a.func.gii", "a.npy", "a.csv", "a.dscalar.nii"])
def test_another_number_of_vertices_is_named(tmp_path, name):
    with pytest.raises(SurfaceError, match="one for each of the surface's 13 vertices") as caught:
        read_vertex_data(write(tmp_path, name), N + 1, "L")
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", b"\x93NUMPY"),
        ("a.csv", b"a,b\n1\n2,3\n"),
        ("a.mgh", b"x"),
        ("a.xyz", b""),
        ("lh.curv", b"abc"),
        ("a.parquet", b"PAR1"),
    ],
)
def test_damaged_and_unknown_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CytomeshError, match=name):
        read_vertex_data(tmp_path / name, N, "L")
    (tmp_path / name).unlink()
    with pytest.raises(CytomeshError, match="unknown kind" if name == "a.xyz" else "no such file"):
        read_vertex_data(tmp_path / name, N, "L")


def test_pickles_are_never_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}] * N, object), allow_pickle=True)
    with pytest.raises(SurfaceError, match="a.npy"):
        read_vertex_data(tmp_path / "a.npy", N, "L")


LABELS = np.array([0, 3, 3, 7, 7, 7, 0, 3, 7, 3, 3, 0], np.int32)
TABLE = LabelTable((3, 7), ("V1", "V2"), np.array([[1, 0, 0, 1], [0, 0, 1, 1]], float))


def test_labels_from_every_kind(tmp_path):
    write_labels(tmp_path / "a.label.gii", LABELS, TABLE, "L")
    write_annot(tmp_path / "lh.a.annot", LABELS, TABLE)
    write_cifti_labels(tmp_path / "a.dlabel.nii", {"L": LABELS, "R": np.zeros(5, int)}, TABLE, "areas")
    for name in ("a.label.gii", "lh.a.annot", "a.dlabel.nii"):
        labels, table = read_vertex_labels(tmp_path / name, N, "L")
        assert [table.name(label) for label in labels.tolist()] == [TABLE.name(label) for label in LABELS.tolist()]
        np.testing.assert_allclose(table.colours[:, :3], TABLE.colours[:, :3], atol=1 / 255)


def test_the_medial_wall_is_no_area(tmp_path):
    colours = np.array([[1, 2, 3, 0], [10, 20, 30, 0], [40, 50, 60, 0]], np.int32)
    rows = np.array([0, 1, 2, -1, 0, 1, 2, 2, 2, 2, 1, 1], np.int32)
    freesurfer.write_annot(tmp_path / "lh.y.annot", rows, colours, ["V1", "Medial_wall", "V2"], fill_ctab=True)
    labels, table = read_vertex_labels(tmp_path / "lh.y.annot", N, "L")
    assert table.names == ("V1", "V2")
    # a row that is the first one is an area like others, if its name says so
    assert [table.name(label) for label in labels[:5].tolist()] == ["V1", "none", "V2", "none", "V1"]


def test_labels_of_other_kinds_and_sizes_are_named(tmp_path):
    write_labels(tmp_path / "a.label.gii", LABELS, TABLE, "L")
    with pytest.raises(SurfaceError, match="one for each"):
        read_vertex_labels(tmp_path / "a.label.gii", N - 1, "L")
    (tmp_path / "a.txt").write_text("1")
    with pytest.raises(SurfaceError, match="unknown kind"):
        read_vertex_labels(tmp_path / "a.txt", N, "L")
    with pytest.raises((SurfaceError, AtlasError)):
        read_vertex_labels(tmp_path / "absent.annot", N, "L")


@pytest.mark.parametrize("name", ["A.CSV", "a.TSV", "A.NPY", "a.MGH", "A.FUNC.GII", "a.DSCALAR.NII"])
def test_suffixes_in_capitals(tmp_path, name):
    write(tmp_path, name.lower()).rename(tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / name)
    np.testing.assert_allclose(list(read_vertex_data(tmp_path / name, N, "L").values())[1], SECOND, rtol=1e-6)


@pytest.mark.parametrize("word", ["N/A", "#N/A", "NULL", "null", "nan", "NA", ""])
def test_words_for_no_value(tmp_path, word):
    (tmp_path / "a.csv").write_text(
        "a,b,c\n" + "\n".join(f"{word if i < 3 else i},{2 * i},{word}" for i in range(N)) + "\n"
    )
    maps = read_vertex_data(tmp_path / "a.csv", N, "L")
    assert np.isnan(maps["a"]).sum() == 3 and np.isnan(maps["c"]).all() and list(maps) == ["a", "b", "c"]


def test_a_table_without_names_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("".join(f"{i}.5,{i}\n" for i in range(N + 1)))
    with pytest.raises(SurfaceError, match=r"a\.csv: line 1: found numbers, expected names of columns"):
        read_vertex_data(tmp_path / "a.csv", N, "L")


def test_semicolons_and_decimal_commas_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("I;II\n" + "0,5;1,5\n" * N)
    with pytest.raises(SurfaceError, match=r"a\.csv: line 1: found semicolons.*points in numbers.*decimal=','"):
        read_vertex_data(tmp_path / "a.csv", N, "L")
    (tmp_path / "a.csv").write_text("I;II,III\n" + "0.5,1\n" * N)
    assert list(read_vertex_data(tmp_path / "a.csv", N, "L")) == ["I;II", "III"]


def test_maps_of_one_name_in_cifti_numpy_and_text(tmp_path):
    models = BrainModelAxis.from_surface(np.arange(N), N, name="CortexLeft")
    image = nib.Cifti2Image(np.stack([FIRST, SECOND]), header=(ScalarAxis(["a", "a"]), models))
    nib.save(image, tmp_path / "a.dscalar.nii")
    np.savez(tmp_path / "a.npz", **{"a": np.column_stack([FIRST, FIRST]), "a 2": SECOND})
    (tmp_path / "a.csv").write_text("a,a\n" + "\n".join(f"{a},{b}" for a, b in zip(FIRST, SECOND, strict=True)) + "\n")
    for name, n in (("a.dscalar.nii", 2), ("a.npz", 3), ("a.csv", 2)):
        maps = list(read_vertex_data(tmp_path / name, N, "L").values())
        assert len(maps) == n
        np.testing.assert_allclose(maps[0], FIRST, rtol=1e-6)
        np.testing.assert_allclose(maps[-1], SECOND, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lh.cortex.label", "read_label"),
        ("lh.thickness.asc", "mris_convert -c"),
        ("lh.aparc.annot", "as 'labels'"),
        ("a.txt", "row of names"),
        ("a.nii.gz", "-volume-to-surface-mapping"),
    ],
)
def test_kinds_that_are_no_maps_name_the_way(tmp_path, name, words):
    (tmp_path / name).write_text("1\n" * N)
    with pytest.raises(SurfaceError, match=f"unknown kind.*{words}"):
        read_vertex_data(tmp_path / name, N, "L")
    with pytest.raises(SurfaceError, match="no such file"):
        read_vertex_data(tmp_path / f"{300 * 'x'}.npy", N, "L")


@pytest.mark.parametrize("read", [read_vertex_data, read_vertex_labels])
def test_a_hemisphere_that_is_none_is_named(tmp_path, read):
    with pytest.raises(SurfaceError, match="hemisphere: found 'left', expected 'L' or 'R'"):
        read(tmp_path / "a.label.gii", N, "left")


def test_a_reader_of_another_package_that_returns_no_maps_is_named(tmp_path, monkeypatch):
    reader = SimpleNamespace(read=lambda path, hemisphere: [FIRST])
    monkeypatch.setattr("cytomesh.surface.vertex_data._map_reader", lambda path: reader)
    (tmp_path / "a.odd").touch()
    with pytest.raises(SurfaceError, match=r"a\.odd.*a list from its reader"):
        read_vertex_data(tmp_path / "a.odd", N, "L")
