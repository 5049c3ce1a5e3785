"""`--dry-run` of the long stages: says what would be done, and writes nothing."""

import shutil
from pathlib import Path

import pytest

from cytomesh.core.config import preset, write_config
from cytomesh.core.digests import DIGESTS
from tests.provenance_chain import Chain


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below one, with size and time."""
    found = {path: path.stat() for path in sorted(folder.rglob("*"))}
    return {str(path): (facts.st_size, facts.st_mtime_ns) for path, facts in found.items()}


STAGES = {
    "graphs": ("build-graph", "{study}"),
    "encoders": ("pretrain", "--name", "vit"),
    "features": ("embed", "--encoder", "vit"),
    "classify": ("classify", "--name", "linear"),
    "parcellate": ("parcellate", "--name", "parcels"),
}


@pytest.fixture
def plan(cytomesh, small_chain, tmp_path):
    """What a stage would do in the finished run, or in one of no results."""

    def ask(stage: str, *more: str) -> str:
        settings = tmp_path / f"{stage}.yaml"
        settings.write_text(write_config(small_chain.settings()[stage]))
        words = [word.format(study=small_chain.study / "study.yaml") for word in STAGES[stage]]
        before = tree(small_chain.run)
        code, out, err = cytomesh("-q", *words, "--out", small_chain.run, "--config", settings, "--dry-run", *more)
        assert (code, err) == (0, "")
        assert tree(small_chain.run) == before
        return out

    return ask


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_finished_would_be_kept_or_made_again(plan, stage: str) -> None:
    said = plan(stage)
    assert "kept" in said
    assert " made" not in said and "computed" not in said
    if stage != "encoders":  # refused, under the name of a finished one
        again = plan(stage, "--no-resume")
        assert "--no-resume" in again and "kept" not in again


def test_changed_settings_are_named(plan) -> None:
    assert "made again: n_parcels 6 -> 5" in plan("parcellate", "--set", "n_parcels=5")
    assert "made again: model.iterations 20 -> 10" in plan("classify", "--set", "model.iterations=10")


def test_numbers_are_those_of_the_run(plan, small_chain: Chain) -> None:
    from cytomesh.graph.storage import load_graphs

    graphs = load_graphs(small_chain.run)
    said = dict(line.split(None, 1) for line in plan("classify").splitlines())
    assert int(said["nodes"]) == sum(graph.n_nodes for graph in graphs)
    assert int(said["annotated_nodes"]) == sum(int((graph.annotation > 0).sum()) for graph in graphs)
    sections = sum(len({int(k) for k in graph.section[graph.has_image]}) for graph in graphs)
    for given, expected in ((True, sections), (False, 0)):
        said = dict(line.split(None, 1) for line in plan("classify", "--set", f"outlines={given}").splitlines())
        assert int(said["outlines"]) == expected
    said = dict(line.split(None, 1) for line in plan("features").splitlines())
    for graph in graphs:
        assert int(said[f"{graph.name}.patches"]) == graph.is_linked.sum()
    said = dict(line.split(None, 1) for line in plan("encoders").splitlines())
    assert (said["steps"], said["steps_done"]) == ("3", "3")
    said = dict(line.split(None, 1) for line in plan("encoders", "--set", "schedule.steps=5").splitlines())
    assert said["would_be"] == "gone on with from step 3"


def test_of_no_run_nothing_is_made(cytomesh, small_chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "new"
    study = small_chain.study / "study.yaml"
    code, said, err = cytomesh(
        "build-graph", study, "--out", out, "--config", preset("build-graph", "tiny"), "--dry-run"
    )
    assert code == 0, err
    assert "would_be" in said and "made" in said
    assert not out.exists()


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_that_makes_looking_faster_is_written_either(cytomesh, small_chain: Chain, tmp_path, stage) -> None:
    shutil.copytree(small_chain.study.parent, tmp_path, dirs_exist_ok=True, symlinks=True)
    run = tmp_path / small_chain.run.name
    (run / DIGESTS).unlink()
    before = tree(tmp_path)
    words = [word.format(study=tmp_path / small_chain.study.name / "study.yaml") for word in STAGES[stage]]
    words = [word if word not in ("vit", "linear", "parcels") or stage == "features" else "new" for word in words]
    code, _, err = cytomesh("-q", *words, "--out", run, "--dry-run")
    assert (code, tree(tmp_path)) == (0, before), err
