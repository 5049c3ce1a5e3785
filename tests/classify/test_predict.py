import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from cytomesh.classify.config import PredictConfig
from cytomesh.classify.known_inputs import input_maps, read_input
from cytomesh.classify.predict import predict_run
from cytomesh.classify.run import classify_run
from cytomesh.classify.trained import read_model, with_areas
from cytomesh.core.config import load_config
from cytomesh.core.errors import CheckpointError, FeatureError, MissingStageError
from cytomesh.core.labels import LabelTable, distinct_colours
from cytomesh.core.progress import speak
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import load_graphs
from cytomesh.surface.gifti import read_labels

PLAIN = PredictConfig(outlines=False)


@pytest.fixture(scope="module")
def model(section_run):
    from cytomesh.classify.config import ClassifyConfig

    overrides = ["model={kind: lda}", "inputs={names: [features, thickness], hops: [0, 2]}"]
    classify_run(section_run, "for-prediction", load_config(ClassifyConfig, None, overrides))
    return section_run / "classify" / "for-prediction"


@pytest.fixture
def new_brain(synthetic, tmp_path):
    """A brain nobody has labelled; returns its run and what its areas are."""
    graph = synthetic.graph("N01", "L", "unseen", seed=5)
    nothing = np.zeros(graph.n_nodes, np.int32)
    blank = synthetic.change(graph, annotation=nothing)
    synthetic.save(tmp_path, blank, synthetic.features(graph))
    return tmp_path, graph


def test_a_new_brain_in_every_format(model, new_brain):
    run, truth = new_brain
    summary = predict_run(run, model, "predicted", PLAIN)["N01_hemi-L"]
    assert summary["n_areas"] == 6
    assert summary["share_unknown"] == 0
    folder = run / "classify" / "predicted"
    labels, _ = read_labels(folder / "N01_hemi-L.label.gii")
    linked = truth.is_linked
    assert (labels == truth.annotation)[linked].mean() > 0.75
    assert (labels[~linked] == 0).all()
    for name in ("lh.N01_hemi-L.annot", "N01_hemi-L.dlabel.nii", "N01_hemi-L_confidence.func.gii"):
        assert (folder / name).is_file()
    areas = read_table(folder / "N01_hemi-L_areas.parquet")
    for label, surface, thickness in zip(areas["label"], areas["surface_mm2"], areas["thickness_mm"], strict=True):
        assert surface == pytest.approx((labels == label).sum())  # every synthetic node has 1 mm2
        assert thickness == pytest.approx(truth.nodes["thickness_mm"][labels == label].mean())
    record = json.loads((folder / "N01_hemi-L_borders.json").read_text())
    assert {"area 1", "area 6"} <= {name for border in record["borders"] for name in border["areas"]}


def test_annotated_test_sections_score_a_prediction(model, synthetic, tmp_path):
    graph = synthetic.graph("N01", "L", "unseen", seed=5)
    is_test = graph.section == graph.section[graph.is_linked][0]
    role = np.where(is_test, "test", "train")
    annotated = synthetic.change(graph, section_role=role)
    synthetic.save(tmp_path, annotated, synthetic.features(graph))
    summary = predict_run(tmp_path, model, "predicted", PLAIN)["N01_hemi-L"]
    labels, _ = read_labels(tmp_path / "classify" / "predicted" / "N01_hemi-L.label.gii")
    rows = annotated.is_linked & is_test & (annotated.annotation > 0)
    assert summary["n_scored"] == rows.sum() > 0
    truth, said = annotated.annotation[rows], labels[rows]
    assert summary["accuracy"] == pytest.approx((truth == said).mean())
    assert summary["macro_f1"] == pytest.approx(f1_score(truth, said, labels=np.unique(truth), average="macro"))


def test_the_same_as_in_training(model, section_run, tmp_path):
    shutil.copytree(section_run / "graphs" / "B03_hemi-L", tmp_path / "graphs" / "B03_hemi-L")
    shutil.copytree(section_run / "features", tmp_path / "features")
    predict_run(tmp_path, model, "again", PLAIN)
    before, after = (
        read_table(folder / "predictions" / "B03_hemi-L.parquet") for folder in (model, tmp_path / "classify" / "again")
    )
    for column in ("area", "second_area"):
        np.testing.assert_array_equal(before[column], after[column])
    np.testing.assert_allclose(before["confidence"], after["confidence"], atol=1e-6)


def copy_model(model, folder, change):
    """Copy a classifier and change its record, as another program would have written it."""
    shutil.copytree(model, folder)
    (folder / "provenance.json").unlink()
    record = json.loads((folder / "model.json").read_text())
    change(record)
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def of_another_version(record):
    record["settings"]["inputs"]["unit"] = "none"
    record["settings"]["model"]["solver"] = "svd"
    # how it was trained and scored is not looked at
    record["settings"]["split"] = {"kind": "of another version"}
    record["settings"]["training"] = {"epochs": "many", "part_nodes": None}
    record["settings"]["null"] = "none"
    record["settings"]["later"] = {"on": True}
    del record["format"], record["settings"]["crf"]


def test_a_model_of_another_version_says_the_same(model, new_brain, tmp_path, capsys):
    speak()
    run, _ = new_brain
    predict_run(run, model, "one", PLAIN)
    capsys.readouterr()
    predict_run(run, copy_model(model, tmp_path / "other", of_another_version), "two", PLAIN)
    lines = [line for line in capsys.readouterr().err.splitlines() if "unknown keys" in line]
    assert [line.split(": ", 1)[1] for line in lines] == ["unknown keys, left out: inputs.unit, model.lda.solver"]
    one, two = (read_table(run / "classify" / n / "predictions" / "N01_hemi-L.parquet") for n in ("one", "two"))
    for column in ("area", "confidence", "input_quantile"):
        np.testing.assert_array_equal(one[column], two[column])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["settings"].pop("model"), "settings: found no model"),
        (lambda record: record["settings"].update(calibration="temperature"), "no array 'temperature'"),
        (lambda record: record["settings"].update(model={"kind": "knn"}), "no array 'inputs'"),
        (lambda record: record["settings"]["model"].update(kind="forest"), "model: .*'forest'"),
    ],
)
def test_records_that_do_not_fit_the_weights(model, new_brain, tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        predict_run(new_brain[0], copy_model(model, tmp_path / "other", change), "p", PLAIN)


def test_a_damaged_record(model, new_brain, tmp_path):
    damaged = copy_model(model, tmp_path / "other", lambda record: None)
    (damaged / "model.json").write_text((model / "model.json").read_text()[:500])
    with pytest.raises(CheckpointError, match=r"model\.json: found a file that cannot be read"):
        predict_run(new_brain[0], damaged, "p", PLAIN)


def test_it_says_what_it_does_not_know(model, new_brain):
    run, truth = new_brain
    values = np.load(run / "features" / "cnn" / "N01_hemi-L.npy")
    strange = truth.positions[:, 0] > 25
    values[strange & truth.is_linked] *= 40  # another stain
    save_features(run, "cnn", truth, values, {})
    predict_run(run, model, "p", PredictConfig(outlines=False, max_distance_quantile=0.999))
    table = read_table(run / "classify" / "p" / "predictions" / "N01_hemi-L.parquet")
    assert not table["is_known"][strange & truth.is_linked].any()
    far = truth.positions[:, 0] < -5
    assert table["is_known"][far].mean() > 0.95
    predict_run(run, model, "q", PredictConfig(outlines=False, min_confidence=0.9))
    table = read_table(run / "classify" / "q" / "predictions" / "N01_hemi-L.parquet")
    np.testing.assert_array_equal(table["is_known"], table["confidence"] >= 0.9)


def test_a_brain_unlike_those_of_training_is_said(model, new_brain, capsys):
    speak()
    run, truth = new_brain
    predict_run(run, model, "alike", PLAIN)
    assert "less usual" not in capsys.readouterr().err
    values = np.load(run / "features" / "cnn" / "N01_hemi-L.npy")
    save_features(run, "cnn", truth, 1000 * values, {})  # other units
    predict_run(run, model, "unlike", PLAIN)
    lines = [line for line in capsys.readouterr().err.splitlines() if "less usual" in line]
    assert len(lines) == 1 and "N01_hemi-L: 100% of the nodes are less usual" in lines[0]


def test_other_inputs_are_named(model, synthetic, tmp_path):
    graph = synthetic.graph("N01", "L", "unseen")
    synthetic.save(tmp_path, graph, synthetic.features(graph, d=5))
    with pytest.raises(CheckpointError, match="features:cnn: 5 columns, not 8"):
        predict_run(tmp_path, model, "p", PLAIN)
    (tmp_path / "features" / "cnn").rename(tmp_path / "features" / "vit")
    with pytest.raises(CheckpointError, match=r"features:cnn: no features.*those of training: features:cnn, thickness"):
        predict_run(tmp_path, model, "p", PLAIN)
    assert not (tmp_path / "classify" / "p" / "predictions").exists()


@pytest.fixture(scope="module")
def named_model(tmp_path_factory):
    """A classifier trained on maps with names, and the graph and features of its run."""
    from cytomesh.classify.config import ClassifyConfig
    from tests.classify.conftest import make_features, make_graph, save

    run, graph = tmp_path_factory.mktemp("named"), make_graph(subdivisions=2)
    graph = replace(graph, labels=replace(graph.labels, colours=COLOURS))
    values = make_features(graph, noise=1.0, d=3) * np.float32([1, 10, 100])
    save(run, graph, values, facts={"maps": NAMES})
    overrides = ["model={kind: lda}", "inputs={names: [features], hops: [0]}", "outlines=false"]
    classify_run(run, "areas", load_config(ClassifyConfig, None, overrides))
    return run / "classify" / "areas", graph, values


NAMES = ["curv", "sulc", "thickness"]
COLOURS = np.arange(0, 240, 10).reshape(6, 4) / 255


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (NAMES, [0, 1, 2]),
        (["thickness", "curv", "sulc"], [2, 0, 1]),
        (["s2_thickness", "s2_curv", "s2_sulc"], [2, 0, 1]),
        ([], [0, 1, 2]),  # of an earlier version
    ],
)
def test_maps_are_known_by_their_names(named_model, tmp_path, capsys, names, order):
    speak()
    model, graph, values = named_model
    shutil.copytree(model.parents[1] / "graphs", tmp_path / "graphs")
    save_features(tmp_path, "cnn", graph, values[:, order], {"maps": names} if names else {})
    predict_run(tmp_path, model, "p", PLAIN)
    before, after = (
        read_table(folder / "predictions" / f"{graph.name}.parquet") for folder in (model, tmp_path / "classify" / "p")
    )
    np.testing.assert_array_equal(before["area"], after["area"])
    assert ("named otherwise than in training" in capsys.readouterr().err) == ("s2_curv" in names)


def test_maps_of_other_names_are_refused(named_model, tmp_path):
    model, graph, values = named_model
    shutil.copytree(model.parents[1] / "graphs", tmp_path / "graphs")
    save_features(tmp_path, "cnn", graph, values, {"maps": ["curv", "sulc", "myelin"]})
    with pytest.raises(CheckpointError, match="features:cnn: 3 maps without thickness, with myelin"):
        predict_run(tmp_path, model, "p", PLAIN)


def test_graphs_of_one_run_are_learnt_from_in_one_order(named_model, synthetic, tmp_path):
    from cytomesh.classify.inputs import InputsConfig, prepare_inputs

    _, graph, values = named_model
    other = synthetic.graph("B02", subdivisions=2)
    save_features(tmp_path, "cnn", graph, values, {"maps": NAMES})
    save_features(tmp_path, "cnn", other, values[:, ::-1], {"maps": NAMES[::-1]})
    masks = [graph.is_linked] * 2
    one, two = prepare_inputs(tmp_path, [graph, other], masks, InputsConfig(hops=[0])).values
    np.testing.assert_array_equal(one, two)


def test_areas_of_one_name_are_one_area(model, new_brain, synthetic, capsys):
    speak()
    run, truth = new_brain
    names = ["area 6", "V2", "area 1"]
    own = LabelTable((2, 4, 9), tuple(names), distinct_colours(3))
    blank = load_graphs(run)[0].nodes.columns
    nodes = Table({**blank, "pmap": blank["pmap"][:, :3]})
    synthetic.save(run, replace(truth, labels=own, nodes=nodes), synthetic.features(truth))
    predict_run(run, model, "p", PLAIN)
    line = "N01_hemi-L: areas of the model are not in the label table and are added: area 2; area 3; area 4; and 1 more"
    assert line in capsys.readouterr().err
    labels, table = read_labels(run / "classify" / "p" / "N01_hemi-L.label.gii")
    assert [table.index(name) for name in names] == [2, 4, 9]  # the study's own
    assert [table.index(f"area {i}") for i in (2, 3, 4, 5)] == [7, 3, 8, 5]  # the model's, where they are free
    found = np.array([table.name(label) for label in labels.tolist()])
    linked = truth.is_linked
    wanted = np.array([truth.labels.name(label) for label in truth.annotation.tolist()])
    assert (found == wanted)[linked].mean() > 0.75
    rows = read_table(run / "classify" / "p" / "predictions" / "N01_hemi-L.parquet")
    np.testing.assert_array_equal(rows["area"][linked], labels[linked])


def test_probability_maps_are_known_by_their_areas(new_brain, synthetic):
    _, graph = new_brain
    names, order = graph.labels.names, [3, 0, 1, 5, 4, 2]
    other = replace(graph, labels=LabelTable.from_names([names[i] for i in order]))
    other = synthetic.change(other, pmap=graph.pmap[:, order], annotation=np.zeros(graph.n_nodes, np.int32))
    found = read_input(new_brain[0], other, "pmap", input_maps(new_brain[0], graph, "pmap"))
    np.testing.assert_array_equal(found.toarray(), graph.pmap.toarray())
    with pytest.raises(FeatureError, match="probability maps of other areas"):
        read_input(new_brain[0], other, "pmap", [*names[:5], "V1"])


def test_a_model_keeps_the_colours_of_its_areas(named_model):
    record = read_model(named_model[0])
    nothing = LabelTable.from_names([])
    np.testing.assert_allclose(with_areas(nothing, record).colours, COLOURS, atol=1e-5)
    for entry, rgba in zip(record["classes"], COLOURS, strict=True):
        assert entry["colour"] == pytest.approx(rgba.tolist(), abs=1e-5)
        entry["colour"] = None  # of an earlier version
    np.testing.assert_allclose(with_areas(nothing, record).colours, distinct_colours(len(COLOURS)))


def test_no_model(section_run, tmp_path):
    with pytest.raises(MissingStageError, match="no trained classifier"):
        predict_run(section_run, tmp_path, "p", PLAIN)


@pytest.mark.parametrize("name", ["model.json", "scaling.safetensors", "seed-0.safetensors"])
def test_a_classifier_that_is_not_as_it_was_written_is_refused(model, new_brain, tmp_path, name):
    shutil.copytree(model, tmp_path / "other")
    content = bytearray((tmp_path / "other" / name).read_bytes())
    content[len(content) // 2 if name == "model.json" else -20] ^= 1  # a digit of a quantile, a weight
    (tmp_path / "other" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"other/{name}: found (files that are not as they were|a file that)"):
        predict_run(new_brain[0], tmp_path / "other", "p", PLAIN)
