"""Stages over a Dask cluster leave the same bytes as on one machine, also where a worker is killed halfway."""

import json
import shutil
import time

import numpy as np
import pytest
import yaml
from PIL import Image

from cytomesh.core.files import write_text
from cytomesh.core.section_log import NAME
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from tests.processes import start_program

N_SECTIONS = 24
SIDE_PX = 900


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
    process = start_program(tmp_path / "errors.txt", *words)
    deadline = time.monotonic() + 100
    while len(states(out)) < 4 and time.monotonic() < deadline and process.is_alive():
        time.sleep(0.005)
    own_dask_cluster.workers[0].kill()
    assert len(states(out)) < N_SECTIONS
    process.join(100)
    assert process.exitcode == 0, (tmp_path / "errors.txt").read_text()
    assert contents(out) == contents(tmp_path / "here") and len(contents(out)) > 3 * N_SECTIONS
    assert [state["state"] for state in states(out)] == ["done"] * N_SECTIONS


def test_a_run_on_a_cluster_goes_on_here_and_names_what_it_leaves_out(dask_cluster, tmp_path, cytomesh):
    study = write_images(tmp_path / "study")
    Image.fromarray(np.full((SIDE_PX, SIDE_PX), 240, np.uint8)).save(tmp_path / "study" / "05.png")
    where = ["--scheduler", dask_cluster.address]
    words = ["contours", "extract", study, "--out", tmp_path / "out", "--json"]
    code, _, err = cytomesh(*words, *where)
    assert code == 1 and "05.png" in err and "no tissue" in err
    skipping = [*words, "--on-bad-section", "skip"]
    code, out, err = cytomesh(*skipping, *where)
    facts = json.loads(out)
    assert code == 0 and facts["files"] == N_SECTIONS - 1 and list(facts["left_out"]) == ["B01 section 5"]
    assert "no tissue" in facts["left_out"]["B01 section 5"] and "1 of 24 sections are left out" in err
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.geojson")}
    assert len(times) == N_SECTIONS - 1
    assert json.loads(cytomesh(*skipping, "--workers", 2)[1]) == facts
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert json.loads(cytomesh(*skipping[:3], "--out", tmp_path / "here", *skipping[5:])[1]) == facts
    assert contents(tmp_path / "here") == contents(tmp_path / "out")


def test_checks_drawings_and_graphs(dask_cluster, small_study, tmp_path, cytomesh):
    shutil.copytree(small_study, tmp_path / "study")
    study, where = tmp_path / "study" / "study.yaml", ["--scheduler-file", dask_cluster.file]
    contours = sorted((tmp_path / "study").rglob("*.geojson"))
    contours[3].write_text(contours[3].read_text().replace("white_L", "whit_L"))
    assert cytomesh("study", "check", study, "--json", *where)[:2] == cytomesh("study", "check", study, "--json")[:2]
    pages = []
    for number, options in enumerate((where, [])):
        pages.append(tmp_path / f"{number}.html")
        cytomesh("contours", "check", study, "--out", pages[-1], *options)
    assert pages[0].read_bytes() == pages[1].read_bytes()
    coarse = ["--set", "surface.voxel_mm=1.5", "--set", "surface.edge_length_mm=4.0", "--on-bad-section", "skip"]
    made = []
    for number, options in enumerate((where, ["--workers", 1])):
        run = tmp_path / f"run{number}"
        code, _, err = cytomesh("build-graph", study, "--out", run, *coarse, *options)
        assert code == 0, err
        keep = (".parquet", ".gii")
        made.append({name: data for name, data in contents(run).items() if name.suffix in keep})
    assert made[0] == made[1] and made[0]
    qc = json.loads(next((tmp_path / "run0" / "graphs").glob("*/qc.json")).read_text())
    assert qc["skipped_sections"]


@pytest.mark.parametrize("command", ["check", "convert"])
def test_a_scheduler_that_is_not_there(command, tmp_path, cytomesh):
    words = {"check": ["study", "check", "s.yaml"], "convert": ["images", "convert", "s.yaml", "--out", tmp_path / "o"]}
    code, _, err = cytomesh(*words[command], "--scheduler-file", tmp_path / "scheduler.json")
    assert code == 1 and "scheduler.json: found no such file" in err and "Traceback" not in err
