"""`--quiet`: not a word but errors, and what was asked for. In processes of their own: libraries' words count, too."""

import json
import shutil
import subprocess
import sys

import pytest

from cytomesh.core.config import write_config
from tests.processes import run_module


@pytest.fixture
def run(small_chain, tmp_path):
    """Run a command of the chain quietly, and return what it says; where asked, what its imports say, too."""

    def call(*words, stage=None, code=0, fresh=False):
        more = []
        if stage:
            path = tmp_path / f"{stage}.yaml"
            path.write_text(write_config(small_chain.settings()[stage]))
            more = ["--config", str(path)]
        command = ["-q", *map(str, words), *more]
        if fresh:
            program = [sys.executable, "-m", "cytomesh"]
            done = subprocess.run([*program, *command], capture_output=True, text=True, check=False)
        else:
            done = run_module("cytomesh", *command)
        assert done.returncode == code, done.stderr
        return done.stdout, done.stderr

    return call


@pytest.mark.slow
def test_results_are_made_without_a_word(run, small_chain, tmp_path):
    out, study = tmp_path / "run", small_chain.study / "study.yaml"
    assert run("build-graph", study, "--out", out, "--workers", 1, stage="graphs") == ("", "")
    assert run("pretrain", "--name", "vit", "--out", out, stage="encoders") == ("", "")
    assert run("embed", "--encoder", "vit", "--out", out, stage="features", fresh=True) == ("", "")
    assert run("classify", "--name", "linear", "--out", out, stage="classify") == ("", "")
    assert run("parcellate", "--name", "parcels", "--out", out, stage="parcellate") == ("", "")
    assert run("report", "--out", out, fresh=True) == ("", "")
    assert (out / "report.html").is_file()
    assert "done in" in (out / "log.txt").read_text()


def test_nothing_is_said_of_what_is_kept_or_shown_on_a_page(cytomesh, small_chain, tmp_path):
    shutil.copytree(small_chain.study.parent, tmp_path / "all")
    run = tmp_path / "all" / small_chain.run.name
    for words in (["embed", "--encoder", "vit"], ["report"]):
        assert cytomesh("-q", *words, "--out", run) == (0, "", "")
    assert "report" in cytomesh("report", "--out", run)[1]


def test_errors_are_said_and_what_was_asked_for(run, small_chain, tmp_path):
    out, err = run("classify", "--out", tmp_path / "nothing", code=1)
    assert out == "" and err.startswith("cytomesh: ")
    out, err = run("status", "--out", small_chain.run, "--json")
    assert {item["state"] for item in json.loads(out)} == {"done"} and err == ""
    out, err = run("settings", "embed")
    assert "batch_size" in out and err == ""
