"""Spheres that spins take: those of the study, and where there are none those of `cytomesh register`."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cytomesh.core.digests import FileDigests
from cytomesh.core.files import read_json
from cytomesh.core.provenance import UNFINISHED
from cytomesh.core.tables import Table
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.spheres import find_sphere, load_spheres
from cytomesh.graph.storage import load_graph
from cytomesh.surface.gifti import read_sphere, write_surface
from tests.processes import run_apart
from tests.register.bodies import ball
from tests.register.runs import brain, places, register_quickly, write_run

NAMES = ("B01_hemi-L", "B02_hemi-R")
REGISTER = ("--workers", 1, "--set", "template=study")
SPUN = {
    "classify": ("--set", "model={kind: lda}", "--set", "split={kind: hemisphere}", "--set", "null.spins=2"),
    "variation": ("--set", "targets=[myelin]", "--set", "spins=2", "--set", "components=[2]"),
    "inspect": ("--set", "spins=2", "--set", "map.method=pca", "--set", "examples.n_areas=0"),
}
PARCELS = ("--set", "n_parcels=4", "--set", "evaluation={spins: 2, tilings: 2, baselines: []}")


def annotated(name, side="L", seed=0):
    """A brain of 8 areas in slices across it, but for a medial wall; the first brain is one to train on."""
    graph, where = brain(name, side, seed), places(seed)
    is_wall = where @ [0.8, 0.0, 0.6] > 0.9
    area = 1 + np.digitize(where[:, 1], np.linspace(-0.75, 0.75, 7))
    columns = {
        **graph.nodes.columns,
        "annotation": np.where(is_wall, 0, area).astype(np.int32),
        "is_linked": ~is_wall,
        "section": np.where(is_wall, -1, np.digitize(where[:, 0], np.linspace(-0.9, 0.9, 12))).astype(np.int32),
    }
    labels = type(graph.labels).from_names([f"A{i:02d}" for i in range(1, 9)])
    return replace(graph, nodes=Table(columns), labels=labels, brain_role="train" if seed == 0 else "unseen")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Two brains without a sphere; to be copied before it is changed."""
    folder = tmp_path_factory.mktemp("plain")
    return write_run(folder / "run", annotated("B01"), annotated("B02", "R", seed=1))


@pytest.fixture(scope="module")
def made(plain, tmp_path_factory):
    """The same after a registration; to be copied before it is changed."""
    run = shutil.copytree(plain, tmp_path_factory.mktemp("made") / "run")
    run_apart(partial(register_quickly, "--out", run, *REGISTER))
    return run


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def graphs(run):
    return [load_graph(run / "graphs" / name) for name in NAMES]


def products(run, place):
    return read_json(run / place / "provenance.json")["inputs"]["products"]


@pytest.mark.parametrize("stage", SPUN)
def test_a_registration_gives_the_null_that_there_was_not(plain, copy, tmp_path, cytomesh, stage):
    without = shutil.copytree(plain, tmp_path / "without")
    code, _, err = cytomesh(stage, "--out", without, "--name", "spun", *SPUN[stage])
    assert code == 1
    assert "no sphere" in err
    assert f"cytomesh register --out {without}" in err
    code, _, err = cytomesh(stage, "--out", copy, "--name", "spun", *SPUN[stage])
    assert code == 0, err
    place = f"{'classify' if stage == 'classify' else 'analyze'}/spun"
    for name in NAMES:
        read, part, _ = products(copy, place)[f"sphere: {name}"]
        assert (read, part) == ("register/folding", f"{name}/sphere.surf.gii")
    assert '"spins"' in (copy / place / "metrics.json").read_text()
    assert Freshness(copy, FileDigests()).reasons(place) == []


def test_parcels_get_a_spin_null_by_a_registration_that_comes_later(plain, made, tmp_path, cytomesh):
    run = shutil.copytree(plain, tmp_path / "run")
    assert cytomesh("parcellate", "--out", run, "--name", "parcels", *PARCELS)[0] == 0
    scores = read_json(run / "parcellate" / "parcels" / "metrics.json")["graphs"][NAMES[0]]["areas"]["ami"]
    assert "spin_mean" not in scores
    assert products(run, "parcellate/parcels")[f"sphere: {NAMES[0]}"] == [f"graphs/{NAMES[0]}", "sphere", "absent"]
    shutil.copytree(made / "register", run / "register")
    reasons = Freshness(run, FileDigests()).reasons("parcellate/parcels")
    assert reasons == ["sphere of B01_hemi-L, B02_hemi-R changed"]
    code, _, err = cytomesh("parcellate", "--out", run, "--name", "parcels", *PARCELS)
    assert (code, "parcellated again" in err) == (0, True)
    for name in NAMES:
        scores = read_json(run / "parcellate" / "parcels" / "metrics.json")["graphs"][name]["areas"]["ami"]
        assert scores["over_spin"] == pytest.approx(scores["score"] - scores["spin_mean"])
    assert Freshness(run, FileDigests()).reasons("parcellate/parcels") == []


def test_the_sphere_is_the_brains_own_and_not_the_registered_one(made):
    for name, found, graph in zip(NAMES, load_spheres(made, graphs(made)), graphs(made), strict=True):
        own, registered = (
            read_sphere(made / "register" / "folding" / name / f"{kind}.surf.gii").vertices
            for kind in ("sphere", "sphere.reg")
        )
        np.testing.assert_allclose(100.0 * found, own, atol=1e-3)
        assert np.abs(100.0 * found - registered).max() > 1.0
        assert len(found) == graph.n_nodes


def test_the_studys_sphere_comes_first_then_that_of_the_first_registration(copy):
    assert find_sphere(copy, NAMES[0]) == copy / "register" / "folding" / NAMES[0] / "sphere.surf.gii"
    shutil.copytree(copy / "register" / "folding", copy / "register" / "again")
    first = copy / "register" / "again" / NAMES[0] / "sphere.surf.gii"
    assert find_sphere(copy, NAMES[0]) == first
    (copy / "register" / "again" / "provenance.json").rename(copy / "register" / "again" / UNFINISHED)
    assert find_sphere(copy, NAMES[0]).parts[-3] == "folding"  # the other one is not finished
    given = copy / "graphs" / NAMES[0] / "sphere.surf.gii"
    write_surface(given, ball(3), "L", "sphere")
    assert find_sphere(copy, NAMES[0]) == given


def test_registrations_do_not_depend_on_what_they_made(copy):
    assert products(copy, "register/folding")[f"sphere: {NAMES[0]}"] == [f"graphs/{NAMES[0]}", "sphere", "absent"]
    assert Freshness(copy, FileDigests()).reasons("register/folding") == []


def test_spheres_of_graphs_that_changed_since_are_stale(copy, cytomesh):
    words = ("classify", "--out", copy, "--name", "spun", *SPUN["classify"])
    write_run(copy, replace(annotated("B01", seed=2), brain_role="train"))
    code, _, err = cytomesh(*words)
    assert code == 1
    assert "register/folding (surface of B01_hemi-L changed)" in err
    without = ("--set", "null.spins=0")
    code, _, err = cytomesh(*words, *without)  # which takes no sphere
    assert code == 0, err
    code, _, err = cytomesh(*words, "--allow-stale")
    assert (code, "continuing with stale inputs" in err) == (0, True)


def test_a_registered_sphere_of_another_mesh_is_refused(copy, cytomesh):
    write_surface(copy / "register" / "folding" / NAMES[0] / "sphere.surf.gii", ball(2), "L", "sphere")
    words = ("classify", "--out", copy, "--name", "spun", *SPUN["classify"])
    code, _, err = cytomesh(*words)
    assert code == 1
    assert "B01_hemi-L/sphere.surf.gii changed" in err
    code, _, err = cytomesh(*words, "--allow-stale")
    assert code == 1
    assert "162 vertices" in err and "642" in err
    assert f"cytomesh register --out {copy} --name folding" in err
