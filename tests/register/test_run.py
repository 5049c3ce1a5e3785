"""The stage on run directories, through the command line."""

import json
import shutil
import time
from functools import partial

import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.core.files import read_json
from cytomesh.graph.storage import save_graph
from cytomesh.register import demons
from cytomesh.register import run as stage
from cytomesh.register.config import LimitsConfig
from cytomesh.register.distortion import is_flipped, stretch
from cytomesh.register.run import check_limits
from cytomesh.register.spherical import SphereLocator
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.gifti import read_structure, read_surface, write_surface
from cytomesh.surface.mesh import Mesh, unit
from tests.processes import CONTEXT, run_apart, start_program
from tests.register.bodies import ball, degrees_between
from tests.register.runs import (
    SMALL_SEARCH_DEG,
    SMALL_STAGES,
    brain,
    fsaverage_brain,
    places,
    register_quickly,
    write_run,
)

FILES = ("inflated", "sphere", "sphere.reg", "sphere.common")
STUDY = ("--workers", 1, "--set", "template=study")
NAMES = ("B01_hemi-L", "B02_hemi-R")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(stage, "STAGES", SMALL_STAGES)
    monkeypatch.setattr(demons, "SEARCH_DEG", SMALL_SEARCH_DEG)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two brains, the second a right hemisphere, brought onto their mean; to be copied before it is changed."""
    run = write_run(tmp_path_factory.mktemp("register") / "run", brain("B01"), brain("B02", "R", seed=1))
    run_apart(partial(register_quickly, "--out", run, *STUDY))
    return run


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def contents(run):
    folder = run / "register" / "folding"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.gii")}


def changed_at(run):
    return {path: path.stat().st_mtime_ns for path in (run / "register" / "folding").rglob("*") if path.is_file()}


def surfaces(run, name):
    folder = run / "register" / "folding" / name
    return [read_surface(folder / f"{kind}.surf.gii") for kind in FILES]


@pytest.mark.parametrize("name", NAMES)
def test_files_fit_the_surface(made, name):
    surface = read_surface(made / "graphs" / name / "midthickness.surf.gii")
    inflated, sphere, registered, common = surfaces(made, name)
    assert inflated.area_mm2 == pytest.approx(surface.area_mm2, rel=1e-4)
    for mesh in (inflated, sphere, registered):
        np.testing.assert_array_equal(mesh.faces, surface.faces)
    is_right = name.endswith("R")
    np.testing.assert_array_equal(common.faces, surface.faces[:, ::-1] if is_right else surface.faces)
    np.testing.assert_allclose(common.vertices, registered.vertices * ([-1, 1, 1] if is_right else 1), atol=1e-4)
    for mesh in (sphere, registered, common):
        np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 100.0, rtol=1e-5)
        assert not is_flipped(mesh.vertices, mesh.faces).any()
    sides = [read_structure(made / "register" / "folding" / name / f"{kind}.surf.gii") for kind in FILES]
    assert sides == [name[-1]] * 3 + ["L"]


def test_what_corresponds_lies_at_the_same_place(made):
    """Both are one body behind maps that are known: what is at a vertex of the one is elsewhere in the other."""
    (_, own, _, one), (_, theirs, _, other) = (surfaces(made, name) for name in NAMES)
    mirror = Mesh(theirs.vertices * [-1.0, 1.0, 1.0], theirs.faces[:, ::-1])
    before, after = (
        degrees_between(places(0), SphereLocator(there).interpolate(unit(here.vertices), places(1)))
        for here, there in ((own, mirror), (one, other))
    )
    assert after.mean() < 0.5 * before.mean()


def test_metrics_say_what_was_done(made, cytomesh):
    code, out, _ = cytomesh("register", "--out", made, *STUDY, "--json")
    assert code == 0
    summary = json.loads(out)
    facts = read_json(made / "register" / "folding" / "metrics.json")
    assert facts["template"] == "study"
    assert set(summary) == set(facts["hemispheres"]) == set(NAMES)
    for name in NAMES:
        surface = read_surface(made / "graphs" / name / "midthickness.surf.gii")
        _, sphere, registered, _ = surfaces(made, name)
        expected = stretch(surface, sphere.vertices)["area_log2"]
        assert summary[name]["sphere_area_log2"] == pytest.approx(expected, rel=1e-3)
        expected = stretch(sphere, registered.vertices)["area_log2"]
        assert summary[name]["registered_area_log2"] == pytest.approx(expected, rel=1e-3)
        assert summary[name]["folding_correlation"] > 0.8
        assert facts["hemispheres"][name]["sphere"]["flipped"] == 0
        assert [stage["grid"] for stage in facts["hemispheres"][name]["stages"]] == [162, 162, 642]


def test_what_is_done_is_kept(copy, cytomesh):
    before = changed_at(copy)
    for more in ((), ("--set", "device=auto"), ("--set", "limits.area_log2=1.0")):
        assert cytomesh("register", "--out", copy, *STUDY, *more)[0] == 0
    assert changed_at(copy) == before


def test_other_surfaces_are_registered_again(copy, cytomesh):
    before = contents(copy)
    graph = brain("B01", seed=2)
    save_graph(copy, graph, {"pial": graph.mesh, "white": graph.mesh}, {})
    code, _, err = cytomesh("register", "--out", copy, *STUDY)
    assert (code, "registered again" in err) == (0, True)
    after = contents(copy)
    assert {name for name in before if before[name] == after[name]} == {
        f"B02_hemi-R/{kind}.surf.gii" for kind in ("inflated", "sphere")
    }


def test_killed_halfway_it_goes_on(made, copy):
    folder = copy / "register"
    shutil.rmtree(folder)
    process = CONTEXT.Process(target=register_quickly, args=("--out", copy, *STUDY))
    process.start()
    deadline = time.monotonic() + 60
    first = folder / "folding" / NAMES[0] / "inflated.surf.gii"
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -9
    assert not (folder / "folding" / "metrics.json").exists()
    before = changed_at(copy)
    again = CONTEXT.Process(target=register_quickly, args=("--out", copy, *STUDY))
    again.start()
    again.join()
    assert again.exitcode == 0
    assert contents(copy) == contents(made)
    after = changed_at(copy)
    for path in (first, first.with_name("sphere.surf.gii")):
        assert after[path] == before[path]
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in (made / "register").iterdir())


@pytest.mark.slow
def test_a_sphere_of_fsaverage_is_brought_onto_its_own(tmp_path):
    """All stages, as the program has them; what is recovered was made by another one."""
    graph = fsaverage_brain("L")
    save_graph(tmp_path / "run", graph, {"pial": graph.mesh, "white": graph.mesh}, {})
    process = start_program(tmp_path / "errors.txt", "register", "--out", tmp_path / "run")
    process.join()
    assert process.exitcode == 0, (tmp_path / "errors.txt").read_text()
    _, made, registered, common = surfaces(tmp_path / "run", graph.name)
    np.testing.assert_array_equal(registered.vertices, common.vertices)
    theirs = fsaverage5("L")["sphere"].vertices
    assert np.median(degrees_between(made.vertices, theirs)) > 8.0
    assert np.median(degrees_between(registered.vertices, theirs)) < 1.5
    facts = read_json(tmp_path / "run" / "register" / "folding" / "metrics.json")["hemispheres"][graph.name]
    assert facts["folding_correlation"] > 0.98
    assert facts["sphere"]["area_log2"] < 0.35
    assert [stage["grid"] for stage in facts["stages"]] == [642, 2562, 10242, 10242]


def test_one_hemisphere_is_no_study(tmp_path, cytomesh):
    run = write_run(tmp_path / "run", brain("B01"))
    code, _, err = cytomesh("register", "--out", run, *STUDY)
    assert code == 1
    assert "one hemisphere only" in err
    assert "template: fsaverage" in err


def test_fsaverage_has_no_further_drivers(tmp_path, cytomesh):
    run = write_run(tmp_path / "run", brain("B01"))
    code, _, err = cytomesh("register", "--out", run, "--set", "drivers=[{name: myelin}]")
    assert code == 1
    assert "fsaverage does not have" in err
    assert "template: study" in err


def test_drivers_are_followed_against_folds(made, copy, cytomesh):
    """The column lies elsewhere on the folds of the second brain, and is brought together where it drives."""
    drivers = ("--set", "drivers=[{name: myelin, weight: 20}, {name: 'features:vit', components: 2}]")
    assert cytomesh("register", "--out", copy, *STUDY, *drivers)[0] == 0

    def agreement(run):
        (_, _, _, one), (_, _, _, other) = (surfaces(run, name) for name in NAMES)
        own, theirs = (np.asarray(brain("B", seed=seed).nodes["myelin"])[:, None] for seed in (0, 1))
        return np.corrcoef(own[:, 0], SphereLocator(other).interpolate(unit(one.vertices), theirs)[:, 0])[0, 1]

    assert 1 - agreement(copy) < 0.5 * (1 - agreement(made))


@pytest.mark.parametrize("name", ["colour", "features:resnet"])
def test_drivers_that_are_not_there(copy, cytomesh, name):
    before = contents(copy)
    code, _, err = cytomesh("register", "--out", copy, *STUDY, "--set", f"drivers=[{{name: '{name}'}}]")
    assert code == 1
    assert name.removeprefix("features:") in err
    assert contents(copy) == before


def test_given_spheres_are_taken(tmp_path, cytomesh):
    given = Mesh(100.0 * ball(3).vertices, ball(3).faces)
    run = write_run(tmp_path / "run", brain("B01"), brain("B02", seed=1), sphere=given)
    assert cytomesh("register", "--out", run, *STUDY)[0] == 0
    np.testing.assert_allclose(surfaces(run, "B01_hemi-L")[1].vertices, given.vertices, atol=1e-4)
    assert degrees_between(surfaces(run, "B02_hemi-L")[1].vertices, given.vertices).max() > 1.0


def test_a_sphere_of_another_mesh_is_refused(tmp_path, cytomesh):
    run = write_run(tmp_path / "run", brain("B01"), brain("B02", seed=1), sphere=ball(3))
    write_surface(run / "graphs" / "B01_hemi-L" / "sphere.surf.gii", ball(2), "L", "sphere")
    code, _, err = cytomesh("register", "--out", run, *STUDY)
    assert code == 1
    assert "sphere.surf.gii" in err
    assert "162 vertices" in err


def test_limits_fail_the_run(copy, cytomesh):
    shutil.rmtree(copy / "register")
    code, _, err = cytomesh("register", "--out", copy, *STUDY, "--set", "limits.area_log2=0.001")
    assert code == 1
    assert "B01_hemi-L: sphere.reg: found areas change" in err
    assert "limits.area_log2" in err
    assert not (copy / "register" / "folding" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("area_log2", "correlation", "words"),
    [(0.5, 0.6, ""), (1.1, 0.6, "areas change 2.14 times"), (0.5, 0.2, "correlate 0.20 with"), (0.5, np.nan, "nan")],
)
def test_limits(area_log2, correlation, words):
    facts = {"registered": {"area_log2": area_log2}, "folding_correlation": correlation}
    if not words:
        check_limits("B01_hemi-L", facts, LimitsConfig())
        return
    with pytest.raises(SurfaceError, match=f"B01_hemi-L.*{words}"):
        check_limits("B01_hemi-L", facts, LimitsConfig())
