"""Another package adds an objective, a classifier, a method, readers and a task of evaluate: they run from YAML."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cytomesh.imaging.pyramid import open_image
from cytomesh.study.contours import read_contours
from cytomesh.study.study import open_study
from tests.pretrain.pretrain_study import write_run
from tests.processes import run_module, start_programs

PLUGIN = Path(__file__).parent / "data" / "plugin"
CLASSIFY = """
inputs: {names: [pmap]}
model: {kind: naive_bayes, smoothing: 0.01}
"""
PRETRAIN = """
encoder: {name: test_resnet}
patches: {size_px: 16, um_per_px: 500.0}
objectives: {same_side: {width_mm: 10.0, temperature: 0.2}}
sampling: {seeds_per_batch: 8, neighbours: 1}
schedule: {steps: 2, warmup_steps: 1}
"""
PARCELLATE = """
method: stripes
plugins: {stripes: {axis: 2}}
n_parcels: 4
evaluation: {spins: 0, tilings: 2, baselines: [], stability: {splits: 0, nulls: 0}}
"""
EVALUATE = """
encoders: [sides]
baselines: []
tasks: {likeness: {apart: 2}}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the package installed in it."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source")  # setuptools builds beside its source
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", folder / "site")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, folder / "source"], check=True, timeout=120)
    return folder / "site"


def run(site: Path, *commands: tuple[object, ...], code: int = 0) -> str:
    """Run commands one after the other in a process that has the packages of `site`; return what they said."""
    errors = site.parent / "errors.txt"
    process = start_programs(errors, site, *commands)
    process.join(280)
    said = errors.read_text()
    assert process.exitcode == code, said
    return said


def as_corners(study: Path) -> None:
    """Write the contours of one section in the format that only the plug-in knows."""
    section = next(section for brain in open_study(study).brains for section in brain.sections if section.contours)
    lines = []
    for side, contours in read_contours(section).items():
        for name, shape in (("pial", contours.pial), ("white", contours.white)):
            for polygon in shape.geoms:
                corners = " ".join(f"{x + 0.5} {y + 0.5}" for x, y in polygon.exterior.coords)
                lines.append(f"{name}_{side} {corners}")
    new = section.contours.with_name("drawn.corners")
    new.write_text("\n".join(lines) + "\n")
    rename(study, section.contours, new)


def rename(study: Path, old: Path, new: Path) -> None:
    """Name another file in the section table."""
    table = next(path for path in study.parent.rglob("*.tsv") if old.name in path.read_text())
    table.write_text(table.read_text().replace(old.name, new.name))


@pytest.mark.slow
def test_a_package_adds_kinds_that_run_from_yaml(installed, small_study, tmp_path):
    shutil.copytree(small_study, tmp_path / "study")
    study, out = tmp_path / "study" / "study.yaml", tmp_path / "run"
    as_corners(study)
    for name, text in (
        ("classify", CLASSIFY),
        ("pretrain", PRETRAIN),
        ("parcellate", PARCELLATE),
        ("evaluate", EVALUATE),
    ):
        (tmp_path / f"{name}.yaml").write_text(text)
    preset = Path(__file__).parents[1] / "configs" / "build-graph" / "tiny.yaml"
    run(
        installed,
        ("build-graph", study, "--out", out, "--config", preset, "--workers", 1),
        ("pretrain", "--out", out, "--name", "sides", "--config", tmp_path / "pretrain.yaml"),
        ("embed", "--out", out, "--encoder", "sides"),
        ("classify", "--out", out, "--name", "bayes", "--config", tmp_path / "classify.yaml"),
        ("classify-predict", "--out", out, "--model", out / "classify/bayes", "--name", "again"),
        ("parcellate", "--out", out, "--name", "stripes", "--config", tmp_path / "parcellate.yaml"),
        ("evaluate", "--out", out, "--config", tmp_path / "evaluate.yaml"),
    )
    first = json.loads((out / "encoders/sides/metrics.jsonl").read_text().splitlines()[-1])
    assert "same_side" in "".join(first)
    metrics = json.loads((out / "classify/bayes/metrics.json").read_text())
    assert metrics["model"] == "naive_bayes"
    assert len(metrics["curves"]) == 1  # no chance in it: fitted once
    assert "corner-plugin 0.1" in (out / "classify/bayes/provenance.json").read_text()
    assert "corner-plugin 0.1" in (out / "parcellate/stripes/provenance.json").read_text()
    assert "corner-plugin 0.1" in (out / "analyze/evaluate/provenance.json").read_text()
    (row,) = json.loads((out / "analyze/evaluate/metrics.json").read_text())["rows"]
    assert row["task"] == "likeness" and -1 <= row["scores"]["sides"]["mean"] <= 1
    facts = next(installed.glob("corner_plugin-*.dist-info")) / "METADATA"
    facts.write_text(facts.read_text().replace("Version: 0.1", "Version: 0.2"))
    again = run(installed, ("classify", "--out", out, "--name", "bayes", "--config", tmp_path / "classify.yaml"))
    assert "package of naive_bayes" in again
    without = run(tmp_path / "nothing", ("classify", "--out", out, "--config", tmp_path / "classify.yaml"), code=1)
    assert "naive_bayes" in without
    assert "Traceback" not in without


def test_images_in_a_format_that_a_package_reads_give_the_same_features(installed, tmp_path):
    out = write_run(tmp_path)
    (tmp_path / "pretrain.yaml").write_text(PRETRAIN)
    pretrain = ("pretrain", "--out", out, "--name", "sides", "--config", tmp_path / "pretrain.yaml")
    embed = ("embed", "--out", out, "--encoder", "sides")
    run(installed, pretrain, embed)
    before = {path.name: path.read_bytes() for path in (out / "features" / "sides").glob("*.npy")}
    for path in (tmp_path / "study").rglob("*.png"):
        with open_image(path) as image:
            np.save(path.with_suffix(".npy"), image.read(0, 0, image.shape[0], 0, image.shape[1])[..., 0])
        path.unlink()
    for table in (tmp_path / "study").rglob("*.tsv"):
        table.write_text(table.read_text().replace(".png", ".npy"))
    without = run(tmp_path / "nothing", (*embed, "--allow-stale"), code=1)
    assert "unknown image format '.npy'" in without
    run(installed, (*embed, "--allow-stale", "--no-resume"))
    assert before == {path.name: path.read_bytes() for path in (out / "features" / "sides").glob("*.npy")}


def test_cells_in_a_format_that_a_package_reads_are_cells(installed, tmp_path):
    (tmp_path / "a.spots").write_text("3 4 50\n5 6 70\n")
    words = ("tests.data.read_cells", tmp_path / "a.spots")
    assert json.loads(run_module(*words, site=installed).stdout) == [[3, 4], [5, 6]]
    assert "unknown format '.spots'" in run_module(*words).stderr
    (tmp_path / "a.spots").write_text("3 4 50\n5 6\n")
    assert "line 2: found another number of words" in run_module(*words, site=installed).stderr
