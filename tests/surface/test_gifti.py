import re
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from nibabel.gifti import GiftiCoordSystem, GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable, GiftiMetaData

from cytomesh.core.errors import AtlasError, MissingStageError, SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.surface.gifti import (
    read_labels,
    read_scalars,
    read_surface,
    write_labels,
    write_scalars,
    write_surface,
)
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_mesh


def test_surface_round_trip_keeps_vertex_order(tmp_path):
    mesh = sphere_mesh(2)
    doubled = Mesh(np.vstack([mesh.vertices, mesh.vertices[:3]]), mesh.faces)
    path = tmp_path / "a.surf.gii"
    write_surface(path, doubled, "L", "pial")
    back = read_surface(path)
    np.testing.assert_array_equal(back.vertices, doubled.vertices.astype(np.float32))
    np.testing.assert_array_equal(back.faces, mesh.faces)
    assert nib.load(path).meta["AnatomicalStructurePrimary"] == "CortexLeft"


def test_labels_keep_their_table(tmp_path):
    table = LabelTable((3, 7), ("hOc1", "4a & <5>"), np.array([[1, 0, 0, 1], [0, 0.5, 0, 1.0]]))
    path = tmp_path / "a.label.gii"
    write_labels(path, np.array([0, 3, 7, 7]), table, "R", "cytoarchitectonic areas")
    assert nib.load(path).darrays[0].meta["Name"] == "cytoarchitectonic areas"  # as Workbench lists it
    labels, back = read_labels(path)
    assert labels.tolist() == [0, 3, 7, 7]
    assert (back.indices, back.names) == (table.indices, table.names)
    np.testing.assert_allclose(back.colours, table.colours, atol=1e-6)
    with pytest.raises(AtlasError, match="5"):
        write_labels(path, np.array([5]), table, "R")


def test_scalars_keep_their_names(tmp_path):
    path = tmp_path / "a.func.gii"
    maps = {"confidence": np.linspace(0, 1, 5), "margin": np.zeros(5)}
    write_scalars(path, maps, "L")
    back = read_scalars(path)
    assert list(back) == ["confidence", "margin"]
    np.testing.assert_allclose(back["confidence"], maps["confidence"], atol=1e-7)


def test_hostile_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.surf.gii"
    write_surface(path, sphere_mesh(1), "L", "white")
    text = path.read_text()
    path.write_text(text.replace('ExternalFileName=""', 'ExternalFileName="../secret"'))
    with pytest.raises(SurfaceError, match="external data"):
        read_surface(path)
    path.write_text(re.sub("<!DOCTYPE[^>]*>", '<!DOCTYPE GIFTI [<!ENTITY a "aaaa">]>', text))
    with pytest.raises(SurfaceError, match="entities"):
        read_surface(path)
    path.write_text(text[: len(text) // 2])
    with pytest.raises(SurfaceError, match="damaged"):
        read_surface(path)
    with pytest.raises(MissingStageError):
        read_surface(tmp_path / "none.surf.gii")


@pytest.mark.skipif(shutil.which("wb_command") is None, reason="Connectome Workbench is not installed")
def test_workbench_opens_what_is_written(tmp_path):
    mesh = sphere_mesh(2)
    write_surface(tmp_path / "a.surf.gii", mesh, "L", "midthickness")
    labels = (mesh.vertices[:, 0] > 0).astype(np.int32)
    write_labels(tmp_path / "a.label.gii", labels, LabelTable.from_names(["hOc1"]), "L")
    write_scalars(tmp_path / "a.func.gii", {"thickness": np.ones(mesh.n_vertices)}, "L")
    for name, expected in [("a.surf.gii", "MidThickness"), ("a.label.gii", "hOc1"), ("a.func.gii", "thickness")]:
        command = ["wb_command", "-file-information", str(tmp_path / name)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert "CortexLeft" in result.stdout.replace("CORTEX_LEFT", "CortexLeft")
        assert expected.lower() in result.stdout.lower().replace("_", "")


def label_gifti(path, values, entries):
    """A `.label.gii` of another program: entries are (key, name, alpha)."""
    table = GiftiLabelTable()
    for key, name, alpha in entries:
        table.labels.append(GiftiLabel(key, 1.0, 0.0, 0.0, alpha))
        table.labels[-1].label = name
    array = GiftiDataArray(np.array(values, np.int32), intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32")
    nib.save(GiftiImage(darrays=[array], labeltable=table), path)
    return path


@pytest.mark.parametrize(
    ("values", "entries", "error", "message"),
    [
        ([0, 1, 7], [(0, "???", 0.0), (1, "V1", 1.0)], AtlasError, r"outside the label table: \[7\]"),
        ([0, 3, 1], [(0, "???", 0.0)], AtlasError, "labels such as 3, and no label table.*-metric-label-import"),
        ([0, 1, 2], [(1, "V1", 1.0), (2, "V1", 1.0)], SurfaceError, "names listed twice: V1.*its own name"),
        ([0, 1, 1], [(0, "V0", 1.0), (1, "V1", 1.0)], SurfaceError, "an area with key 0, 'V0'.*another key"),
        ([0, -1, 1], [(-1, "unknown", 1.0), (1, "V1", 1.0)], SurfaceError, r"indices \[-1\]"),
    ],
)
def test_label_tables_of_others_that_do_not_fit_name_the_file(tmp_path, values, entries, error, message):
    with pytest.raises(error, match=rf"x\.label\.gii.*{message}"):
        read_labels(label_gifti(tmp_path / "x.label.gii", values, entries))


@pytest.mark.parametrize("name", ["???", "unknown", "Medial_Wall", "Background"])
def test_key_0_is_none_by_what_programs_call_it(tmp_path, name):
    labels, table = read_labels(label_gifti(tmp_path / "x.label.gii", [0, 3], [(0, name, 1.0), (3, "V1", 1.0)]))
    assert (labels.tolist(), table.indices, table.names) == ([0, 3], (3,), ("V1",))


def foreign_surface(path, source, target, matrix, centre):
    """A `.surf.gii` as FreeSurfer writes it: centre of the volume and transform in the header."""
    mesh = sphere_mesh(1)
    meta = GiftiMetaData({f"VolGeomC_{axis}": str(value) for axis, value in zip("RAS", centre, strict=True)})
    points = GiftiDataArray(
        mesh.vertices.astype(np.float32),
        intent="NIFTI_INTENT_POINTSET",
        datatype="NIFTI_TYPE_FLOAT32",
        meta=meta,
        coordsys=GiftiCoordSystem(source, target, matrix),
    )
    triangles = GiftiDataArray(
        mesh.faces.astype(np.int32), intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32", coordsys=None
    )
    nib.save(GiftiImage(darrays=[points, triangles]), path)
    return mesh


CENTRE = (5.5, -17.2, 3.1)
BY_CENTRE = np.array([[1, 0, 0, 5.5], [0, 1, 0, -17.2], [0, 0, 1, 3.1], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("source", "target", "matrix", "centre", "moved"),
    [
        (0, 1, BY_CENTRE, CENTRE, CENTRE),  # FreeSurfer's surface RAS, and where it lies
        (1, 1, np.eye(4), CENTRE, (0, 0, 0)),  # mris_convert --to-scanner keeps the centre in the header
        (0, 3, np.eye(4), (0, 0, 0), (0, 0, 0)),  # fsaverage
    ],
)
def test_coordinates_come_in_scanner_space(tmp_path, source, target, matrix, centre, moved):
    mesh = foreign_surface(tmp_path / "x.surf.gii", source, target, matrix, centre)
    np.testing.assert_allclose(read_surface(tmp_path / "x.surf.gii").vertices, mesh.vertices + moved, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "target", "matrix", "centre", "message"),
    [
        (0, 0, np.eye(4), CENTRE, r"VolGeomC. is \[5\.5, -17\.2, 3\.1\] mm.*--to-scanner"),
        (0, 3, BY_CENTRE, CENTRE, "a transform to space 3.*-surface-apply-affine"),
        (1, 4, BY_CENTRE, (0, 0, 0), "space 1 with a transform to space 4"),
        (0, 1, np.zeros((4, 4)), (0, 0, 0), "with a transform"),
    ],
)
def test_coordinates_of_an_unknown_place_are_refused(tmp_path, source, target, matrix, centre, message):
    foreign_surface(tmp_path / "x.surf.gii", source, target, matrix, centre)
    with pytest.raises(SurfaceError, match=rf"x\.surf\.gii: found .*{message}"):
        read_surface(tmp_path / "x.surf.gii")


def test_a_matrix_in_one_line_is_read(tmp_path):
    mesh = foreign_surface(tmp_path / "x.surf.gii", 0, 1, BY_CENTRE, CENTRE)
    text = (tmp_path / "x.surf.gii").read_text()
    start, end = (text.index(tag) for tag in ("<MatrixData>", "</MatrixData>"))
    one_line = " ".join(text[start + len("<MatrixData>") : end].split())
    (tmp_path / "x.surf.gii").write_text(text[:start] + "<MatrixData>" + one_line + text[end:])
    np.testing.assert_allclose(read_surface(tmp_path / "x.surf.gii").vertices, mesh.vertices + CENTRE, atol=1e-5)
