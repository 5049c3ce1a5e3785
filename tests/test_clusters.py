"""Stages over a Dask cluster leave the same bytes as on one machine, also where a worker is killed halfway."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from PIL import Image

from cytomesh.core import dask_sections
from cytomesh.core.files import write_text
from cytomesh.core.run import lock
from cytomesh.core.section_log import NAME
from cytomesh.graph.inputs import read_inputs
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.study.study import open_study
from tests.pretrain.pretrain_study import write_run
from tests.processes import free_port

N_SECTIONS = 24
SIDE_PX = 300


def write_images(folder):
    """Write a study of sections with a bright background and a dark disc, without contours."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2
    sections = []
    for index in range(N_SECTIONS):
        path = folder / f"{index:02d}.png"
        tissue = np.hypot(rows, columns) < SIDE_PX * (0.2 + 0.01 * index)
        pixels = np.where(tissue, 90, 235) + rng.integers(0, 12, tissue.shape)
        Image.fromarray(pixels.astype(np.uint8)).save(path, compress_level=1)
        matrix = np.array([[0.05, 0.0, 0.0], [0.0, 0.0, index * 1.0], [0.0, -0.05, 0.0]])
        sections.append(Section("B01", index, path, 50.0, SectionPlane(matrix), role="train"))
    write_sections(folder / "sections.tsv", sections)
    manifest = {"name": "discs", "species": "none", "stain": "noise", "space": {"name": "none"}}
    brain = {"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}
    write_text(folder / "study.yaml", yaml.safe_dump({**manifest, "brains": [brain]}))
    return folder / "study.yaml"


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return {path.relative_to(folder): path.read_bytes() for path in files if path.name != NAME}


def states(folder):
    path = folder / NAME
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return [json.loads(line) for line in lines]


def test_conversion_with_a_worker_killed_halfway(own_dask_cluster, tmp_path, cytomesh):
    study = write_images(tmp_path / "study")
    assert cytomesh("images", "convert", study, "--out", tmp_path / "here", "--workers", 1)[0] == 0
    out = tmp_path / "there"
    words = ["images", "convert", study, "--out", out, "--scheduler-file", own_dask_cluster.file]
    process = subprocess.Popen([sys.executable, "-m", "cytomesh", *map(str, words)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while len(states(out)) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    own_dask_cluster.workers[0].kill()
    assert len(states(out)) < N_SECTIONS
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert contents(out) == contents(tmp_path / "here") and len(contents(out)) > 3 * N_SECTIONS
    assert [state["state"] for state in states(out)] == ["done"] * N_SECTIONS


def test_a_run_on_a_cluster_goes_on_here_and_names_what_it_leaves_out(dask_cluster, tmp_path, cytomesh):
    study = write_images(tmp_path / "study")
    Image.fromarray(np.full((SIDE_PX, SIDE_PX), 240, np.uint8)).save(tmp_path / "study" / "05.png")
    where = ["--scheduler", dask_cluster.address]
    words = ["contours", "extract", study, "--out", tmp_path / "out", "--json"]
    # elsewhere: what its workers have begun they finish, also when it has ended
    code, _, err = cytomesh(*words[:3], "--out", tmp_path / "stopped", *where)
    assert code == 1 and "05.png" in err and "no tissue" in err
    skipping = [*words, "--on-bad-section", "skip"]
    code, out, err = cytomesh(*skipping, *where)
    facts = json.loads(out)
    assert code == 0 and facts["files"] == N_SECTIONS - 1 and list(facts["left_out"]) == ["B01 section 5"]
    assert "no tissue" in facts["left_out"]["B01 section 5"] and "1 of 24 sections are left out" in err
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.geojson")}
    assert len(times) == N_SECTIONS - 1
    assert json.loads(cytomesh(*skipping, "--workers", 1)[1]) == facts
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert json.loads(cytomesh(*skipping[:3], "--out", tmp_path / "here", *skipping[5:])[1]) == facts
    assert contents(tmp_path / "here") == contents(tmp_path / "out")
    with lock(tmp_path / "out", "tissue"):
        code, _, err = cytomesh(*words)
    assert code == 1 and "another cytomesh process is writing here" in err


def test_checks_drawings_and_inputs_of_graphs(dask_cluster, small_study, tmp_path, cytomesh):
    shutil.copytree(small_study, tmp_path / "study")
    study, where = tmp_path / "study" / "study.yaml", ["--scheduler-file", dask_cluster.file]
    contours = sorted((tmp_path / "study").rglob("*.geojson"))
    contours[3].write_text(contours[3].read_text().replace("white_L", "whit_L"))
    words = ["study", "check", study, "--json", "--quick"]
    assert cytomesh(*words, *where)[:2] == cytomesh(*words)[:2]
    pages = []
    for number, options in enumerate((where, [])):
        pages.append(tmp_path / f"{number}.html")
        cytomesh("contours", "check", study, "--out", pages[-1], *options)
    assert pages[0].read_bytes() == pages[1].read_bytes()
    brain = open_study(study).brains[0]
    there, here = (
        read_inputs(brain.sections, "L", 1, skip_bad=True, scheduler=address, manifest=study)
        for address in (dask_cluster.address, None)
    )
    assert [repr(item.contours) for item in there] == [repr(item.contours) for item in here]
    assert [(item.shape, str(item.problem)) for item in there] == [(item.shape, str(item.problem)) for item in here]
    assert any(item.problem for item in there)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_build_graph_reads_over_the_cluster(small_study, tmp_path, cytomesh, monkeypatch):
    monkeypatch.setattr(dask_sections, "CONNECT_S", 1)
    address = f"tcp://127.0.0.1:{free_port()}"
    words = ["build-graph", small_study / "study.yaml", "--out", tmp_path, "--scheduler", address, "--workers", 1]
    code, _, err = cytomesh(*words, "--on-bad-section", "skip")
    assert code == 1 and f"{address}: found" in err and "expected a Dask scheduler" in err


@pytest.mark.parametrize("command", [("images", "convert"), ("contours", "extract")])
def test_one_image_needs_no_cluster(command, tmp_path, cytomesh):
    code, _, err = cytomesh(*command, "a.png", "--out", tmp_path / "o", "--scheduler", "tcp://127.0.0.1:1")
    assert code == 1 and "--scheduler: found a.png, expected a study" in err


@pytest.mark.parametrize("command", ["check", "convert", "build-graph"])
def test_a_scheduler_that_is_not_there(command, tmp_path, cytomesh):
    out = ["--out", tmp_path / "out"]
    words = {
        "check": ["study", "check", "s.yaml"],
        "convert": ["images", "convert", "s.yaml", *out],
        "build-graph": ["build-graph", "s.yaml", *out],
    }
    code, _, err = cytomesh(*words[command], "--scheduler-file", tmp_path / "scheduler.json")
    assert code == 1 and "scheduler.json: found no such file" in err and "Traceback" not in err


def test_patches_extracted_into_a_folder_that_is_named_from_here(dask_cluster, tmp_path, cytomesh, monkeypatch):
    banks = []
    for name, options in (("there", ["--scheduler", dask_cluster.address]), ("here", ["--workers", 1])):
        write_run(tmp_path / name)
        monkeypatch.chdir(tmp_path / name)  # workers are in another
        words = ["patches", "export", "--out", "run", "--json", "--set", "patches.size_px=12"]
        code, out, err = cytomesh(*words, *options)
        assert code == 0, err
        banks.append(tmp_path / name / json.loads(out)["bank"])
    assert contents(banks[0]) == contents(banks[1]) and len(contents(banks[0])) > 10
