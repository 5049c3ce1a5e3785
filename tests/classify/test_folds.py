import json
import shutil

import numpy as np
import pytest

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.folds import brain_folds, folds_run
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError, SplitError
from cytomesh.core.files import read_json
from cytomesh.core.learning import macro_f1
from cytomesh.core.provenance import RECORD
from cytomesh.core.run import UNFINISHED
from cytomesh.core.tables import read_table

LDA = ["model={kind: lda}"]


def test_every_brain_is_tested_once_and_finished_folds_are_kept(section_run, tmp_path, cytomesh):
    run = tmp_path / "run"
    shutil.copytree(section_run, run)
    command = ["classify-folds", "--out", run, "--name", "folds", "--set", LDA[0], "--json"]
    code, out, err = cytomesh(*command)
    assert code == 0, err
    summary = json.loads(out)
    folder = run / "classify" / "folds"
    record = read_json(folder / "folds.json")
    assert [fold["brains"] for fold in record["folds"]] == [["B01"], ["B02"], ["B03"]]
    single = []
    truth, predicted = [], []
    for i, brain in enumerate(("B01", "B02", "B03"), 1):
        split = read_json(folder / f"fold-{i}" / "metrics.json")["splits"]
        assert set(split) == {"test"}
        single.append(split["test"]["mean"]["macro_f1"])
        table = read_table(folder / f"fold-{i}" / "predictions" / f"{brain}_hemi-L.parquet")
        sides = {
            b: set(read_table(folder / f"fold-{i}" / "predictions" / f"{b}_hemi-L.parquet")["side"])
            for b in ("B01", "B02", "B03")
        }
        assert all(("test" in found) == (b == brain) for b, found in sides.items())
        is_labelled = np.asarray(table["annotation"]) > 0
        truth.append(np.asarray(table["annotation"])[is_labelled] - 1)
        predicted.append(np.asarray(table["area"])[is_labelled] - 1)
    assert summary["macro_f1"] == pytest.approx(np.mean(single))
    assert summary["macro_f1_sd"] == pytest.approx(np.std(single))
    pooled = macro_f1(np.concatenate(truth).astype(np.int64), np.concatenate(predicted).astype(np.int64))
    assert summary["macro_f1_pooled"] == pytest.approx(pooled)
    rows = (folder / "folds.tsv").read_text().splitlines()
    assert len(rows) == 5
    assert rows[-1].startswith("mean ± SD\tall")
    written = {path: path.stat().st_mtime_ns for path in folder.glob("fold-*/seed-0.safetensors")}
    (folder / "fold-2" / RECORD).rename(folder / "fold-2" / UNFINISHED)  # killed in the second fold
    assert cytomesh(*command)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written
    again = read_json(folder / "folds.json")
    assert again["folds"] == record["folds"]


def test_folds_are_as_even_as_can_be(synthetic):
    graphs = [synthetic.graph(f"B{i:02d}", subdivisions=1) for i in range(7)]
    folds = brain_folds(graphs, 3, 0)
    assert sorted(map(len, folds)) == [2, 2, 3]
    assert sorted(brain for fold in folds for brain in fold) == [graph.brain for graph in graphs]
    assert brain_folds(graphs, 3, 0) == folds
    assert brain_folds(graphs, 3, 1) != folds


def test_brains_without_annotation_have_no_fold(synthetic):
    graphs = [synthetic.graph(f"B{i:02d}", subdivisions=1) for i in range(3)]
    bare = synthetic.change(graphs[2], annotation=np.zeros(graphs[2].n_nodes, np.int32))
    assert brain_folds([*graphs[:2], bare], 0, 0) == [["B00"], ["B01"]]
    with pytest.raises(SplitError, match="1 annotated brains"):
        brain_folds([graphs[0], bare], 0, 0)
    with pytest.raises(SplitError, match="for 4 folds"):
        brain_folds(graphs, 4, 0)


def test_another_split_is_refused(section_run):
    with pytest.raises(ConfigError, match="folds are over brains"):
        folds_run(section_run, "other", load_config(ClassifyConfig, None, [*LDA, "split={kind: hemisphere}"]))
