import shutil
import subprocess

import nibabel.freesurfer as freesurfer
import numpy as np
import pytest
import trimesh

from cytomesh.surface.formats import write_freesurfer, write_morphometry, write_ply, write_spec
from cytomesh.surface.gifti import write_scalars, write_surface
from cytomesh.surface.mesh import Mesh


@pytest.fixture
def mesh():
    ball = trimesh.creation.icosphere(subdivisions=2, radius=30.0)
    return Mesh(ball.vertices + np.array([-31.25, 4.5, 12.0]), ball.faces)


def test_freesurfer_geometry_is_in_scanner_coordinates(mesh, tmp_path):
    write_freesurfer(tmp_path / "lh.pial", mesh)
    vertices, faces, volume = freesurfer.read_geometry(tmp_path / "lh.pial", read_metadata=True)
    assert vertices == pytest.approx(mesh.vertices, abs=1e-5)
    assert (faces == mesh.faces).all()
    assert (volume["cras"] == 0).all()


def test_freesurfer_measures(mesh, tmp_path):
    values = np.linspace(-1, 4, mesh.n_vertices)
    write_morphometry(tmp_path / "lh.thickness", values, mesh.n_faces)
    assert freesurfer.read_morph_data(tmp_path / "lh.thickness") == pytest.approx(values, abs=1e-6)


def test_ply_is_binary_and_keeps_the_order(mesh, tmp_path):
    write_ply(tmp_path / "pial.ply", mesh)
    assert (tmp_path / "pial.ply").read_bytes().startswith(b"ply\nformat binary_little_endian")
    again = trimesh.load(tmp_path / "pial.ply", process=False)
    assert again.vertices == pytest.approx(mesh.vertices, abs=1e-5)
    assert (again.faces == mesh.faces).all()


@pytest.fixture
def spec(mesh, tmp_path):
    files = [tmp_path / "pial.surf.gii", tmp_path / "white.surf.gii", tmp_path / "thickness.shape.gii"]
    write_surface(files[0], mesh, "L", "pial")
    write_surface(files[1], mesh, "L", "white")
    write_scalars(files[2], {"thickness_mm": np.full(mesh.n_vertices, 2.5)}, "L")
    write_spec(tmp_path / "B & 1.spec", [(file, "L") for file in files])
    return tmp_path / "B & 1.spec"


def test_a_spec_names_its_files(spec):
    text = spec.read_text()
    assert text.count('Structure="CortexLeft"') == 3
    assert 'DataFileType="METRIC" Selected="true">thickness.shape.gii<' in text


@pytest.mark.skipif(shutil.which("wb_command") is None, reason="Connectome Workbench is not installed")
def test_workbench_opens_the_spec_and_what_it_names(spec):
    done = subprocess.run(["wb_command", "-file-information", spec], capture_output=True, text=True, check=True)
    for name in ("pial.surf.gii", "white.surf.gii", "thickness.shape.gii"):
        assert name in done.stdout
        subprocess.run(["wb_command", "-file-information", spec.parent / name], capture_output=True, check=True)
    merged = spec.with_name("merged.spec")
    subprocess.run(["wb_command", "-spec-file-merge", spec, spec, merged], capture_output=True, check=True)
    assert "pial.surf.gii" in merged.read_text()
