"""Files carried between surfaces of a registration, through the command line."""

import json

import numpy as np
import pytest
from nibabel.freesurfer import read_annot

from cytomesh.core.errors import MissingStageError, SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.graph.storage import load_graph
from cytomesh.register.carry import graph_place
from cytomesh.register.hemispheres import mirrored
from cytomesh.register.resample import resample_labels, resample_numbers, resampling
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.gifti import read_labels, read_scalars, write_labels, write_scalars, write_surface
from cytomesh.surface.mesh import Mesh, unit
from tests.register.bodies import ball, bumps
from tests.register.runs import brain, places, write_run

LEFT, RIGHT = "B01_hemi-L", "B02_hemi-R"
AREAS = LabelTable.from_names(["A", "B", "C", "D"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A left and a right brain on the sphere that they have in common, as a registration writes it."""
    folder = write_run(tmp_path_factory.mktemp("carry") / "run", brain("B01"), brain("B02", "R", seed=1))
    for seed, (name, side) in enumerate(((LEFT, "L"), (RIGHT, "R"))):
        common = Mesh(100.0 * places(seed), ball(3).faces)
        own = folder / "register" / "folding" / name
        on_side = common if side == "L" else mirrored(common)
        write_surface(own / "sphere.reg.surf.gii", on_side, side, "sphere")
        write_surface(own / "sphere.common.surf.gii", common, "L", "sphere")
    return folder


def pattern(seed):
    """What both brains have at the same places."""
    return bumps(places(seed), 20, 6.0, seed=9)


def labels_of(values):
    return (np.digitize(values, [-0.4, 0.0, 0.4]) + 1).astype(np.int32)


def weights(one, other):
    """By spheres and the surfaces' areas, without the files."""
    common = [Mesh(100.0 * places(seed), ball(3).faces) for seed in (one, other)]
    return resampling(*common, *[brain("B", seed=seed).mesh.vertex_areas for seed in (one, other)])


def test_numbers_from_a_left_to_a_right_brain(run, tmp_path, cytomesh):
    write_scalars(tmp_path / "in.func.gii", {"a": pattern(0), "b": 2 * pattern(0) + 1}, "L")
    words = ("resample", tmp_path / "in.func.gii", tmp_path / "out.func.gii", "--out", run)
    code, out, _ = cytomesh(*words, "--from", LEFT, "--to", RIGHT, "--json")
    assert code == 0
    assert json.loads(out) == {"vertices": 642, "with_a_value": 642}
    found = read_scalars(tmp_path / "out.func.gii", "R")
    assert list(found) == ["a", "b"]
    np.testing.assert_allclose(found["a"], resample_numbers(weights(0, 1), pattern(0)), atol=1e-4)
    np.testing.assert_allclose(found["b"], 2 * found["a"] + 1, atol=1e-5)
    # the same vertex of the other brain lies elsewhere
    apart = 1 - np.corrcoef(pattern(0), pattern(1))[0, 1]
    assert 1 - np.corrcoef(found["a"], pattern(1))[0, 1] < 0.3 * apart


def test_labels_and_back(run, tmp_path, cytomesh):
    given = labels_of(pattern(1))
    write_labels(tmp_path / "in.label.gii", given, AREAS, "R")
    words = ("resample", tmp_path / "in.label.gii", tmp_path / "out.label.gii", "--out", run)
    code, out, _ = cytomesh(*words, "--from", RIGHT, "--to", LEFT, "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["with_a_value"] == 642
    assert 0.7 < facts["agreement"] < 1.0
    found, table = read_labels(tmp_path / "out.label.gii", "L")
    assert table.names == AREAS.names
    np.testing.assert_array_equal(found, resample_labels(weights(1, 0), given))
    assert (found == labels_of(pattern(0))).mean() > 0.85


@pytest.mark.parametrize("ending", ["annot", "dlabel.nii"])
def test_labels_in_other_formats(run, tmp_path, cytomesh, ending):
    write_labels(tmp_path / "in.label.gii", labels_of(pattern(0)), AREAS, "L")
    out = tmp_path / f"lh.out.{ending}"
    assert cytomesh("resample", tmp_path / "in.label.gii", out, "--out", run, "--from", LEFT, "--to", RIGHT)[0] == 0
    expected = resample_labels(weights(0, 1), labels_of(pattern(0)))
    if ending == "annot":
        np.testing.assert_array_equal(read_annot(out)[0], expected)
        return
    # and in again, from there
    back = tmp_path / "back.label.gii"
    assert cytomesh("resample", out, back, "--out", run, "--from", RIGHT, "--to", LEFT)[0] == 0
    np.testing.assert_array_equal(read_labels(back, "L")[0], resample_labels(weights(1, 0), expected))


@pytest.mark.parametrize("kind", ["name", "file"])
def test_to_fsaverage_of_its_side(run, tmp_path, cytomesh, kind):
    sphere = fsaverage5("R")["sphere"]
    write_surface(tmp_path / "template.surf.gii", sphere, "R", "sphere")
    target = {"name": "fsaverage5", "file": tmp_path / "template.surf.gii"}[kind]
    write_scalars(tmp_path / "in.func.gii", {"a": pattern(1)}, "R")
    words = ("resample", tmp_path / "in.func.gii", tmp_path / "out.func.gii", "--out", run)
    assert cytomesh(*words, "--from", RIGHT, "--to", target)[0] == 0
    found = read_scalars(tmp_path / "out.func.gii", "R")["a"]
    there = sphere.vertices / np.linalg.norm(sphere.vertices, axis=1, keepdims=True) * [-1.0, 1.0, 1.0]
    assert np.corrcoef(found, bumps(there, 20, 6.0, seed=9))[0, 1] > 0.98


def test_spheres_of_another_unit_are_the_same(run, tmp_path, cytomesh):
    write_scalars(tmp_path / "in.func.gii", {"a": pattern(0)}, "L")
    found = []
    for radius in (1.0, 100.0, 1e5):  # unit spheres, mm, and micrometres
        sphere = fsaverage5("L")["sphere"]
        write_surface(tmp_path / "to.surf.gii", Mesh(radius * unit(sphere.vertices), sphere.faces), "L", "sphere")
        words = ("resample", tmp_path / "in.func.gii", tmp_path / "out.func.gii", "--out", run)
        assert cytomesh(*words, "--from", LEFT, "--to", tmp_path / "to.surf.gii")[0] == 0
        found.append(read_scalars(tmp_path / "out.func.gii", "L")["a"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    np.testing.assert_allclose(found[2], found[1], atol=1e-5)


def test_what_cannot_be_carried(run, tmp_path, cytomesh):
    write_scalars(tmp_path / "in.func.gii", {"a": pattern(0)}, "L")
    write_scalars(tmp_path / "short.func.gii", {"a": np.ones(17)}, "L")
    write_labels(tmp_path / "in.label.gii", labels_of(pattern(0)), AREAS, "L")
    write_surface(tmp_path / "right.surf.gii", fsaverage5("R")["sphere"], "R", "sphere")
    number, label, out = tmp_path / "in.func.gii", tmp_path / "in.label.gii", tmp_path / "out.func.gii"
    for file, to_file, source, target, words in (
        (number, out, "fsaverage5", "fsaverage5", "no graph of this run"),
        (number, out, LEFT, "B07_hemi-L", "no such file"),
        (number, out, LEFT, tmp_path / "right.surf.gii", "known on its own side only"),
        (number, tmp_path / "out.label.gii", LEFT, RIGHT, ".func.gii or .shape.gii"),
        (label, out, LEFT, RIGHT, ".label.gii or .annot"),
        (tmp_path / "short.func.gii", out, LEFT, RIGHT, "17"),
        (number, out, RIGHT, LEFT, "in.func.gii"),  # of the other side
    ):
        code, _, err = cytomesh("resample", file, to_file, "--out", run, "--from", source, "--to", target)
        assert (code, words in err) == (1, True), err
        assert not to_file.exists()
    write_labels(tmp_path / "none.label.gii", np.zeros(642, np.int32), AREAS, "L")
    write_scalars(tmp_path / "none.func.gii", {"a": np.full(642, np.nan)}, "L")
    for ending in ("label.gii", "func.gii"):
        to_file = tmp_path / f"out.{ending}"
        words = ("resample", tmp_path / f"none.{ending}", to_file, "--out", run, "--from", LEFT, "--to", RIGHT)
        code, _, err = cytomesh(*words)
        assert (code, f"none.{ending}: found nothing that reaches B02_hemi-R" in err) == (1, True), err
        assert not to_file.exists()
    code, _, err = cytomesh("resample", number, out, "--out", run, "--from", LEFT, "--to", RIGHT, "-r", "myelin")
    assert (code, "--name myelin" in err) == (1, True)


def test_registrations_of_another_mesh_are_refused(run, tmp_path):
    graph = load_graph(run / "graphs" / LEFT)
    assert graph_place(run, "folding", graph).side == "L"
    with pytest.raises(MissingStageError, match="no such registration"):
        graph_place(run, "folding", brain("B07"))
    own = tmp_path / "register" / "folding" / LEFT
    write_surface(own / "sphere.reg.surf.gii", ball(2), "L", "sphere")
    with pytest.raises(SurfaceError, match="the sphere of another mesh"):
        graph_place(tmp_path, "folding", graph)
