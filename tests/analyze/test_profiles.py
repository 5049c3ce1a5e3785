"""Profiles of a brain whose grey levels say how much of the cortex's volume lies above."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from cytomesh.analyze.profiles import ProfilesConfig, profiles_run
from cytomesh.core.errors import ConfigError, MissingStageError
from cytomesh.core.run import write_study_path
from cytomesh.core.tables import Table
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.report.status import run_status
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_graph

PIAL_MM, MID_MM, WHITE_MM = 21.5, 20.0, 18.5
UM, SIDE = 100.0, 460


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Spheres; within the cortex, grey is 50 at pial and 200 at white, linear in the share of the volume."""
    folder = tmp_path_factory.mktemp("profiles")
    graph = sphere_graph()
    mesh = Mesh(graph.mesh.vertices * (MID_MM / 50.0), graph.mesh.faces)
    x, y, z = mesh.vertices.T
    plane_mm = 4.0 * np.round(y / 4.0)
    is_linked = np.abs(plane_mm) < 15
    scale = np.sqrt(np.maximum(MID_MM**2 - plane_mm**2, 0) / np.maximum(x**2 + z**2, 1e-9))  # onto the plane's circle
    columns = {
        **graph.nodes.columns,
        **dict(zip(("x_mm", "y_mm", "z_mm"), mesh.vertices.T, strict=True)),
        "section": np.where(is_linked, 10 + plane_mm / 4, -1).astype(np.int32),
        "column_px": scale * x / (UM / 1e3) + (SIDE - 1) / 2,
        "row_px": -scale * z / (UM / 1e3) + (SIDE - 1) / 2,
        "obliqueness_deg": np.degrees(np.arcsin(np.minimum(np.abs(plane_mm) / MID_MM, 1))),
        "is_linked": is_linked,
        "section_role": np.where(is_linked, "train", "none"),
    }
    graph = replace(graph, mesh=mesh, nodes=Table(columns))
    around = {
        kind: Mesh(mesh.vertices * (r / MID_MM), mesh.faces) for kind, r in (("pial", PIAL_MM), ("white", WHITE_MM))
    }
    save_graph(folder / "run", graph, around, {})
    sections = []
    for index in np.unique(graph.section[is_linked]):
        at_mm = 4.0 * (index - 10)
        corner = UM / 1e3 * (SIDE - 1) / 2
        plane = SectionPlane(np.array([[UM / 1e3, 0.0, -corner], [0.0, 0.0, at_mm], [0.0, -UM / 1e3, corner]]))
        column, row = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
        world = plane.world(np.stack([column.ravel(), row.ravel()], axis=1).astype(float))
        radius = np.linalg.norm(world, axis=1)
        share = (PIAL_MM**3 - radius**3) / (PIAL_MM**3 - WHITE_MM**3)
        grey = 50 + 150 * np.clip(share, -0.3, 1.3)
        path = folder / "study" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        image = Image.fromarray(np.clip(grey, 0, 255).reshape(SIDE, SIDE).astype(np.uint8))
        (image.convert("RGB") if index % 2 else image).save(path)  # of colours, the luminance
        sections.append(Section("B01", int(index), path, UM, plane))
    write_sections(folder / "study" / "sections.tsv", sections)
    brains = [{"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}]
    manifest = {"name": "shell", "species": "none", "stain": "depth", "space": {"name": "sphere"}, "brains": brains}
    (folder / "study" / "study.yaml").write_text(yaml.safe_dump(manifest))
    write_study_path(folder / "run", folder / "study" / "study.yaml")
    return folder / "run"


def test_profiles_sample_equal_shares_of_the_volume_however_oblique_the_section_is(run):
    settings = ProfilesConfig(depths=11, um_per_px=100.0, width_mm=0.3)
    found = profiles_run(run, "profiles", settings)
    (graph,) = load_graphs(run)
    assert found["profiles"] == graph.is_linked.sum() > 300
    profiles = load_features(run, "profiles", graph)[graph.is_linked]
    expected = np.linspace(50, 200, 11)
    np.testing.assert_allclose(np.median(profiles, axis=0), expected, atol=3)
    oblique = np.asarray(graph.nodes["obliqueness_deg"])[graph.is_linked]
    assert oblique.max() > 35
    for some in (oblique < 15, oblique > 35):  # a section that cuts obliquely shows wider cortex
        np.testing.assert_allclose(profiles[some].mean(axis=0), expected, atol=5)


def test_profiles_do_not_depend_on_how_many_are_read_together(run, monkeypatch):
    (graph,) = load_graphs(run)
    settings = ProfilesConfig(depths=4, um_per_px=100.0)
    profiles_run(run, "together", settings)
    monkeypatch.setattr("cytomesh.analyze.profiles.BATCH_PX", 1)
    profiles_run(run, "alone", settings)
    np.testing.assert_array_equal(load_features(run, "together", graph), load_features(run, "alone", graph))


def test_the_command_keeps_profiles_and_says_how_to_make_them(run, cytomesh):
    code, out, _ = cytomesh("profiles", "--out", run, "--name", "coarse", "--set", "depths=4", "--json")
    assert code == 0 and json.loads(out)["depths"] == 4
    path = run / "features" / "coarse" / "B01_hemi-L.npy"
    written = path.stat().st_mtime_ns
    assert cytomesh("profiles", "--out", run, "--name", "coarse", "--set", "depths=4")[0] == 0
    assert path.stat().st_mtime_ns == written
    assert {status.product: status.state for status in run_status(run)}["features/coarse/B01_hemi-L"] == "done"
    path.unlink()
    (graph,) = load_graphs(run)
    for name in ("coarse", "profiles-of-nobody", "profiles"):
        (run / "features" / "profiles" / "B01_hemi-L.npy").unlink(missing_ok=True)
        command = f"embed --out {run} --encoder {name}" if "nobody" in name else f"profiles --out {run} --name {name}"
        with pytest.raises(MissingStageError, match=f"run 'cytomesh {command}'"):
            load_features(run, name, graph)


def test_names_of_encoders_are_refused(run):
    (run / "encoders" / "cnn").mkdir(parents=True)
    with pytest.raises(ConfigError, match="an encoder of this name"):
        profiles_run(run, "cnn", ProfilesConfig())
