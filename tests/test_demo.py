"""The whole way through the real command line on the tiny study."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from cytomesh.core.errors import QualityError
from cytomesh.demo import MODELS, SPLITS, check_order, summary_table
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain.config import EmbedConfig
from cytomesh.pretrain.embed import embed_run
from tests.processes import start_program


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A tiny run, and the commands that the demo printed."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    errors = folder.parent / "errors.txt"
    process = start_program(errors, "demo", "--out", folder, "--set", "size=tiny")
    process.join()
    said = errors.read_text()
    assert process.exitcode == 0, said[-4000:]
    lines = [line.removeprefix("$ cytomesh ") for line in said.splitlines() if line.startswith("$ cytomesh ")]
    return folder, lines


@pytest.fixture(scope="module")
def run(demo: tuple[Path, list[str]]) -> Path:
    return demo[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_tables_have_the_documented_columns(run):
    pytest.importorskip("sphinx", reason="the manual's lists are read by what shows them")
    from tests.docs.documented import documented, undocumented

    shutil.copytree(run / "phantom" / "truth", run.parent / "study" / "truth")
    kept = shutil.ignore_patterns("phantom", "patches", "pieces", ".*")
    shutil.copytree(run, run.parent / "copy", ignore=kept)
    kinds = documented(run.parent / "copy") | documented(run.parent / "study")
    assert undocumented(run.parent / "copy") == []
    assert {"analyze/<layers>/scores.parquet", "analyze/<variation>/r2.parquet"} <= kinds


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_stage_writes_what_the_documentation_says(run):
    graphs = load_graphs(run)
    assert {graph.brain_role for graph in graphs} == {"train", "transfer", "unseen"}
    for graph in graphs:
        assert graph.mesh.euler_number == 2
        assert graph.mesh.n_components == 1
        assert load_features(run, "spatialnce", graph).shape[0] == graph.n_nodes
        for path in (
            f"graphs/{graph.name}/pial.surf.gii",
            f"graphs/{graph.name}/white.surf.gii",
            f"graphs/{graph.name}/midthickness.surf.gii",
            f"classify/gat/predictions/{graph.name}.parquet",
            f"classify/gat/{graph.name}.label.gii",
            f"classify/gat/{graph.name}_confidence.func.gii",
            f"parcellate/parcels/{graph.name}.label.gii",
            f"analyze/layers/nodes/{graph.name}.parquet",
        ):
            assert (run / path).is_file(), path
    assert (run / "encoders" / "spatialnce" / "model.safetensors").is_file()
    assert "http" not in [line[:4] for line in (run / "report.html").read_text().splitlines()]
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["models"]) == set(MODELS)
    table = summary_table(summary)
    assert f"{summary['no_image']['registered areas']['macro_f1_unseen']:.3f}" in table
    assert (run / "register" / "folding" / graphs[0].name / "sphere.common.surf.gii").is_file()
    assert f"{summary['models']['gat']['macro_f1_unseen']:.3f}" in table
    for method in ("spatialnce", "untrained", "profiles", "depth alone"):
        assert f"{summary['layers'][f'{method}: unseen']['macro_f1']:.3f}" in table


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_real_ranks_embed_the_same_bytes(run, tmp_path, gloo):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "features")
    gloo(embed_run, 2, copy, "spatialnce", EmbedConfig())
    for path in sorted((run / "features" / "spatialnce").glob("*.npy")):
        assert (copy / "features" / "spatialnce" / path.name).read_bytes() == path.read_bytes()


def content(run: Path) -> dict[str, bytes]:
    """Every file of a run but the page, where the study is, the log, and what only speeds up."""
    free = {"report.html", "study.json", "log.txt", ".digests.json"}
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in free and ".locks" not in path.parts]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_that_the_demo_prints_leaves_its_run_as_it_was(demo, tmp_path, cytomesh):
    folder, commands = demo
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    before = content(copy)
    assert len(commands) >= 18
    for command in commands:
        code, _, said = cytomesh(*shlex.split(command.replace(str(folder), str(copy))))
        assert code == 0, said
        assert content(copy) == before, command
    states = {line.split()[1] for line in cytomesh("status", "--out", copy)[1].splitlines()[1:]}
    assert states == {"done"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_finished_stages_are_kept(run, cytomesh):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.gii")}
    mlp, graphs = (run / folder / "config.yaml" for folder in ("classify/mlp", "graphs"))
    assert cytomesh("classify", "--out", run, "--name", "mlp", "--config", mlp)[0] == 0
    assert cytomesh("build-graph", run / "phantom" / "study.yaml", "--out", run, "--config", graphs)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.gii")} == before


def scores(**values: float) -> dict[str, dict[str, float]]:
    return {name: {f"macro_f1_{split}": value for split in SPLITS} for name, value in values.items()}


def test_the_order_that_the_phantom_promises(tmp_path):
    others = {"linear-untrained": 0.3, "gat-prior": 0.7, "registered areas": 0.65}
    good = scores(linear=0.5, gat=0.6, **others)
    check_order(good, tmp_path)
    for name, value in (("linear-untrained", 0.5), ("gat", np.nan), ("registered areas", 0.7)):
        bad = good | {name: scores(x=value)["x"]}
        with pytest.raises(QualityError, match="seen"):
            check_order(bad, tmp_path)
