"""The registered prior on run directories: classify, predict, the report, and what is stale."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cytomesh.classify.config import ClassifyConfig, PredictConfig
from cytomesh.classify.folds import folds_run
from cytomesh.classify.predict import predict_run
from cytomesh.classify.prior import RegisteredPrior
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.errors import CheckpointError, ConfigError, MissingStageError, StaleError
from cytomesh.core.files import read_json
from cytomesh.core.learning import macro_f1
from cytomesh.core.tables import read_table
from cytomesh.graph.storage import load_graphs
from cytomesh.register.run import COMMON
from cytomesh.report.maps import CHANGE_TABLE, node_maps
from cytomesh.report.results import read_models
from cytomesh.report.score_table import score_table
from cytomesh.surface.mesh import Mesh
from tests.classify.conftest import make_graph, save, sphere_of
from tests.registrations import write_registration

LDA = ("model={kind: lda}", "prior.registration=folding")


def register(run: Path, template: str = "study", turned: str = "") -> None:
    """Write a registration: these graphs are spheres, whose areas lie alike but for one."""
    spheres = {graph.name: sphere_of(graph) for graph in load_graphs(run)}
    if turned:
        spheres[turned] = Mesh(spheres[turned].vertices[:, [1, 2, 0]], spheres[turned].faces)
    write_registration(run, "folding", spheres, template)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two training brains, one in transfer, one unseen, registered and classified; copied before it is changed."""
    run = tmp_path_factory.mktemp("prior")
    for brain, role in (("B01", "train"), ("B02", "train"), ("B03", "transfer"), ("B04", "unseen")):
        save(run, make_graph(brain, "L", role))
    register(run)
    classify_run(run, "voting", load_config(ClassifyConfig, None, [*LDA, "null.spins=3"]))
    return run


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def test_beside_the_scores(made):
    metrics = read_json(made / "classify" / "voting" / "metrics.json")
    assert metrics["prior"].keys() == {"sd_deg", "image_weights"}
    graphs = {graph.name: graph for graph in load_graphs(made)}
    for side, name in (("transfer", "B03_hemi-L"), ("unseen", "B04_hemi-L")):
        table = read_table(made / "classify" / "voting" / "predictions" / f"{name}.parquet")
        rows = np.asarray(table["side"]) == side
        truth = graphs[name].annotation[rows].astype(np.int64)
        before, after = (np.asarray(table[c], np.int64)[rows] for c in ("registered_area", "area"))
        scores = metrics["splits"][side]
        assert scores["baselines"]["registered areas"] == pytest.approx(macro_f1(truth, before))
        assert scores["baselines"]["registered areas"] > 0.8  # areas lie alike in these brains
        beyond = scores["beyond_prior"]
        assert beyond["difference"] == pytest.approx(macro_f1(truth, after) - macro_f1(truth, before))
        assert beyond["low"] <= beyond["difference"] <= beyond["high"]
        assert beyond["right"] == ((after != before) & (after == truth)).sum()
        assert beyond["wrong"] == ((after != before) & (before == truth)).sum()
        null = metrics["null"][side]
        assert null["baselines"]["registered areas"]["mean"] > 0.8  # as alike after a rotation
        assert "probability maps" not in null["baselines"]  # these do not turn with the labels


def test_in_the_report(made):
    models = read_models(made)
    html = str(score_table(models))
    assert "no image: registered areas" in html
    assert "unseen, above null" in html
    assert "unseen, beyond registered areas" in html
    assert '<span class="wrapped">no image: registered areas</span>' in html  # scores stay in view beside long titles
    assert "macro-F1: mean F1" in html
    graph = load_graphs(made)[3]
    changes = next(item for item in node_maps(made, graph) if item.title == "changed by images, voting")
    table = read_table(made / "classify" / "voting" / "predictions" / f"{graph.name}.parquet")
    same = np.asarray(table["area"]) == np.asarray(table["registered_area"])
    np.testing.assert_array_equal(changes.values == 1, same)
    assert set(np.unique(changes.values)) <= {1, 2, 3, 4, 5}
    assert changes.table is CHANGE_TABLE


def test_prediction_is_what_training_said(copy):
    predict_run(copy, copy / "classify" / "voting", "again", PredictConfig(outlines=False))
    for graph in load_graphs(copy):
        one, other = (
            read_table(copy / "classify" / name / "predictions" / f"{graph.name}.parquet")
            for name in ("voting", "again")
        )
        if graph.brain_role == "train":  # the image's exponent is found on nodes that are not learnt from
            assert (np.asarray(one["area"]) == np.asarray(other["area"])).mean() > 0.95
        else:
            np.testing.assert_allclose(one["confidence"], other["confidence"], atol=1e-5)


def test_on_another_run(copy, tmp_path):
    other = tmp_path / "other"
    save(other, make_graph("N01", "L", "unseen"))
    model = copy / "classify" / "voting"
    with pytest.raises(MissingStageError, match="no such registration"):
        predict_run(other, model, "new", PredictConfig(outlines=False))
    register(other)
    with pytest.raises(CheckpointError, match="of this study"):
        predict_run(other, model, "new", PredictConfig(outlines=False))
    for run in (copy, other):
        shutil.rmtree(run / "register")
        register(run, "fsaverage")
    classify_run(copy, "carried", load_config(ClassifyConfig, None, [*LDA]))
    predict_run(other, copy / "classify" / "carried", "new", PredictConfig(outlines=False))
    graph = load_graphs(other)[0]
    table = read_table(other / "classify" / "new" / "predictions" / f"{graph.name}.parquet")
    rows = graph.annotation > 0
    assert (np.asarray(table["area"])[rows] == graph.annotation[rows]).mean() > 0.9
    with pytest.raises(MissingStageError, match="register/elsewhere"):
        predict_run(other, copy / "classify" / "carried", "new", PredictConfig(registration="elsewhere"))


def test_on_another_template_of_the_same_study(copy):
    write_registration(copy, "other", {graph.name: sphere_of(graph) for graph in load_graphs(copy)})
    with pytest.raises(CheckpointError, match="register/other, .* expected register/folding of its own run"):
        predict_run(copy, copy / "classify" / "voting", "new", PredictConfig(registration="other"))


def test_without_registration_or_with_another(copy):
    settings = load_config(ClassifyConfig, None, ["model={kind: lda}", "prior.registration=nothing"])
    with pytest.raises(MissingStageError, match="--name nothing"):
        classify_run(copy, "new", settings)
    save(copy, make_graph("B05", "L", "unseen"))
    with pytest.raises(MissingStageError, match="without B05_hemi-L"):
        classify_run(copy, "new", load_config(ClassifyConfig, None, [*LDA]))


def test_a_registration_of_other_surfaces_is_stale(copy):
    save(copy, make_graph("B04", "L", "unseen", subdivisions=2))
    with pytest.raises(StaleError, match="register/folding"):
        classify_run(copy, "new", load_config(ClassifyConfig, None, [*LDA]))


def test_registered_again_is_classified_again(copy):
    settings = load_config(ClassifyConfig, None, [*LDA, "null.spins=3"])
    before = (copy / "classify" / "voting" / "provenance.json").read_text()
    classify_run(copy, "voting", settings)
    assert (copy / "classify" / "voting" / "provenance.json").read_text() == before
    shutil.rmtree(copy / "register")
    register(copy, turned="B04_hemi-L")
    classify_run(copy, "voting", settings)
    splits = read_json(copy / "classify" / "voting" / "metrics.json")["splits"]
    assert splits["transfer"]["baselines"]["registered areas"] > 0.8
    assert splits["unseen"]["baselines"]["registered areas"] < 0.4
    path = copy / "register" / "folding" / "B03_hemi-L" / COMMON
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StaleError, match=f"register/folding .*{COMMON} changed"):
        classify_run(copy, "voting", settings)


def test_as_an_input_and_by_folds(copy):
    settings = load_config(ClassifyConfig, None, [*LDA, "inputs.names=[features:cnn, prior]", "areas.min_nodes=2"])
    classify_run(copy, "input", settings)
    assert read_json(copy / "classify" / "input" / "metrics.json")["inputs"] == ["features:cnn", "prior"]
    predict_run(copy, copy / "classify" / "input", "again", PredictConfig(outlines=False))
    found = folds_run(copy, "folds", settings)
    assert found["n_folds"] == 4
    assert found["macro_f1"] > 0.9


def test_trainings_and_the_row_of_the_prior_share_one_computation(copy, monkeypatch):
    made = []
    own = RegisteredPrior.__init__
    monkeypatch.setattr(RegisteredPrior, "__init__", lambda self, *words: (made.append(self), own(self, *words))[1])
    changes = ["model={kind: mlp, hidden: 8}", "training={epochs: 2}", "n_seeds=2"]
    changes += ["prior={registration: folding, sd_deg: 2, image_weight: 1}"]
    classify_run(copy, "shared", load_config(ClassifyConfig, None, changes))
    assert len(made) == 1
    metrics = read_json(copy / "classify" / "shared" / "metrics.json")
    assert metrics["prior"] == {"sd_deg": [2, 2], "image_weights": [1, 1]}
    assert all("registered areas" in split["baselines"] for split in metrics["splits"].values())


def test_inputs_on_disk_cannot_have_it(copy):
    changes = [*LDA, "inputs.names=[features:cnn, prior]", "inputs.memory_gib=0"]
    with pytest.raises(ConfigError, match="stay on disk"):
        classify_run(copy, "large", load_config(ClassifyConfig, None, changes))
