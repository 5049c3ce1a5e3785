"""Surfaces of other programs: the same vertices in the same order, in scanner RAS, or a clear error."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import nibabel.freesurfer as freesurfer
import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.any_surface import read_any_surface, stated_side
from cytomesh.surface.formats import write_freesurfer, write_ply
from cytomesh.surface.gifti import write_surface
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_mesh


@pytest.mark.parametrize("name", ["L.pial.surf.gii", "L.pial.surf.gii.gz", "lh.pial", "pial.ply"])
def test_vertices_and_order_are_kept(tmp_path, name):
    mesh = sphere_mesh(2)
    path = tmp_path / name
    if name.startswith("L."):
        write_surface(tmp_path / "L.pial.surf.gii", mesh, "L", "pial")
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress((tmp_path / "L.pial.surf.gii").read_bytes()))
    elif name == "lh.pial":
        write_freesurfer(path, mesh)
    else:
        write_ply(path, mesh)
    found = read_any_surface(path)
    np.testing.assert_allclose(found.vertices, mesh.vertices, atol=1e-4)
    np.testing.assert_array_equal(found.faces, mesh.faces)


def write_volume_surface(path: Path, vertices, faces, axes, centre):
    volume = {
        "head": np.array([2, 0, 20], np.int32),
        "valid": "1  # volume info valid",
        "filename": "orig.mgz",
        "volume": np.array([256, 256, 256]),
        "voxelsize": np.ones(3),
        **dict(zip(("xras", "yras", "zras"), np.asarray(axes, float), strict=True)),
        "cras": np.asarray(centre, float),
    }
    freesurfer.write_geometry(path, vertices.astype(np.float32), faces, volume_info=volume)


@pytest.mark.parametrize(
    "axes",
    [[(-1, 0, 0), (0, 0, -1), (0, 1, 0)], [(-1, 0, 0), (0, 0.2, -0.98), (0, 0.98, 0.2)]],
    ids=["plain", "turned"],
)
def test_freesurfer_coordinates_become_scanner_coordinates(tmp_path, axes):
    # against voxels: FreeSurfer's Torig and the volume's own affine, as mri_info prints them
    mesh, centre = sphere_mesh(1), np.array([5.0, -17.0, 19.0])
    write_volume_surface(tmp_path / "lh.white", mesh.vertices, mesh.faces, axes, centre)
    torig = np.array([[-1, 0, 0, 128], [0, 0, 1, -128], [0, -1, 0, 128], [0, 0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = np.transpose(axes)
    affine[:3, 3] = centre - affine[:3, :3] @ [128, 128, 128]
    homogeneous = np.column_stack([mesh.vertices, np.ones(mesh.n_vertices)])
    expected = (affine @ np.linalg.inv(torig) @ homogeneous.T).T[:, :3]
    np.testing.assert_allclose(read_any_surface(tmp_path / "lh.white").vertices, expected, atol=1e-3)
    np.testing.assert_allclose(
        read_any_surface(tmp_path / "lh.white", is_sphere=True).vertices, mesh.vertices, atol=1e-3
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("lh.pial", b"\xff\xff\xfe" + b"created", "damaged FreeSurfer geometry"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 9999999999\nend_header\n", "PLY"),
        ("a.obj", b"v 0 0 0", "no surface that is known"),
        ("a.surf.gii.gz", gzip.compress(b"<GIFTI", mtime=0)[:-9], "gzip"),
    ],
)
def test_others_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SurfaceError, match=words) as caught:
        read_any_surface(tmp_path / name)
    assert name in str(caught.value)
    with pytest.raises(SurfaceError, match="absent"):
        read_any_surface(tmp_path / "absent.surf.gii.x")


@pytest.mark.parametrize("unit_mm", [0.001, 1000.0, 12.0])
def test_sizes_of_no_brain_are_refused(tmp_path, unit_mm):
    mesh = sphere_mesh(1)
    write_surface(tmp_path / "a.surf.gii", Mesh(mesh.vertices * unit_mm, mesh.faces), "L", "sphere")
    with pytest.raises(SurfaceError, match=r"a\.surf\.gii.* mm long, expected 3 to 500 mm"):
        read_any_surface(tmp_path / "a.surf.gii")
    assert read_any_surface(tmp_path / "a.surf.gii", is_sphere=True).n_vertices == mesh.n_vertices


def test_two_hemispheres_in_one_file_are_refused(tmp_path):
    one, path = sphere_mesh(2, radius_mm=30.0), tmp_path / "both.surf.gii"

    def both(shift):
        points = np.concatenate([one.vertices - shift, one.vertices + shift])
        return Mesh(points, np.concatenate([one.faces, one.faces + one.n_vertices]))

    write_surface(path, both(np.array([30.0, 0, 0])), "L", "pial")
    with pytest.raises(
        SurfaceError, match=r"both\.surf\.gii: found two surfaces .* 162 and 162 vertices.*files of its own"
    ):
        read_any_surface(path, hemisphere="L")
    write_surface(path, both(np.array([0, 40.0, 0])), "L", "pial")  # pieces of one, one behind the other
    assert read_any_surface(path, hemisphere="L").n_vertices == 324


def test_surfaces_that_are_inside_out_are_refused(tmp_path):
    mesh = sphere_mesh(3)
    mirrored, turned = Mesh(mesh.vertices * [-1, 1, 1], mesh.faces), Mesh(mesh.vertices + 100.0, mesh.faces[:, ::-1])
    no_wall = Mesh(mesh.vertices + 100.0, turned.faces[(mesh.vertices[mesh.faces, 0] > -40).all(axis=1)])
    for surface in (mirrored, turned, no_wall):
        write_ply(tmp_path / "a.ply", surface)
        with pytest.raises(SurfaceError, match=r"a\.ply: found triangles that are clockwise"):
            read_any_surface(tmp_path / "a.ply")
    # a patch may be a gyrus seen from outside, or a sulcus
    patch = Mesh(mesh.vertices, turned.faces[(mesh.vertices[mesh.faces, 0] > 20).all(axis=1)])
    write_ply(tmp_path / "a.ply", patch)
    assert read_any_surface(tmp_path / "a.ply").n_faces == patch.n_faces


@pytest.mark.parametrize("cut", [0, 3000, 30000])
def test_ascii_ply_that_is_cut_off_is_refused(tmp_path, cut):
    text = sphere_mesh(3).to_trimesh().export(file_type="ply", encoding="ascii", vertex_normal=False)
    (tmp_path / "a.ply").write_bytes(text[: len(text) - cut])
    if cut:
        with pytest.raises(SurfaceError, match=r"a\.ply"):
            read_any_surface(tmp_path / "a.ply")
    else:
        assert read_any_surface(tmp_path / "a.ply").n_faces == 1280


@pytest.mark.parametrize("spoil", ["index", "coordinate"])
def test_bad_indices_and_coordinates_name_the_file(tmp_path, spoil):
    mesh = sphere_mesh(1)
    vertices, faces = mesh.vertices.copy(), mesh.faces.copy()
    if spoil == "index":
        faces[3, 1] = 500
    else:
        vertices[3, 1] = np.nan
    write_volume_surface(tmp_path / "lh.pial", vertices, faces, -np.eye(3), np.zeros(3))
    head = "ply\nformat ascii 1.0\nelement vertex 42\nproperty float x\nproperty float y\nproperty float z\n"
    rows = [*(" ".join(map(str, row)) for row in vertices), *(f"3 {a} {b} {c}" for a, b, c in faces)]
    head += "element face 80\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_text(head + "\n".join(rows) + "\n")
    for name in ("lh.pial", "a.ply"):
        with pytest.raises(SurfaceError, match=name):
            read_any_surface(tmp_path / name)


@pytest.mark.parametrize(("axes", "centre"), [(np.zeros((3, 3)), 0.0), (np.ones((3, 3)), 0.0), (np.eye(3), np.nan)])
def test_volumes_without_three_axes_are_refused(tmp_path, axes, centre):
    mesh = sphere_mesh(1)
    write_volume_surface(tmp_path / "lh.white", mesh.vertices, mesh.faces, axes, [centre] * 3)
    with pytest.raises(SurfaceError, match=r"lh\.white: geometry of the volume"):
        read_any_surface(tmp_path / "lh.white")
    assert read_any_surface(tmp_path / "lh.white", is_sphere=True).n_vertices == mesh.n_vertices


def test_a_sphere_is_left_where_it_is_and_a_surface_is_taken_to_the_scanner(tmp_path):
    # as mris_convert of FreeSurfer 7 writes both: with the centre of the volume as a transform
    mesh, path = sphere_mesh(1), tmp_path / "lh.sphere.surf.gii"
    write_surface(path, mesh, "L", "sphere")
    image = nib.load(path)
    image.darrays[0].coordsys.dataspace, image.darrays[0].coordsys.xformspace = 0, 1
    image.darrays[0].coordsys.xform = np.array([[1, 0, 0, 5], [0, 1, 0, -17], [0, 0, 1, 19], [0, 0, 0, 1.0]])
    nib.save(image, path)
    np.testing.assert_allclose(read_any_surface(path, is_sphere=True).vertices, mesh.vertices, atol=1e-4)
    np.testing.assert_allclose(read_any_surface(path).vertices, mesh.vertices + np.array([5, -17, 19]), atol=1e-4)


def test_files_say_of_which_side_they_are(tmp_path):
    mesh = sphere_mesh(1)
    write_surface(tmp_path / "a.surf.gii", mesh, "R", "pial")
    write_freesurfer(tmp_path / "lh.pial", mesh)
    write_ply(tmp_path / "a.ply", mesh)
    assert [stated_side(tmp_path / name) for name in ("a.surf.gii", "lh.pial", "a.ply")] == ["R", "L", None]
    image = nib.load(tmp_path / "a.surf.gii")  # Workbench and FreeSurfer say it of the points
    image.meta.clear()
    image.darrays[0].meta["AnatomicalStructurePrimary"] = "CortexLeft"
    nib.save(image, tmp_path / "b.surf.gii")
    assert stated_side(tmp_path / "b.surf.gii") == "L"
