"""The stage on the small study: everything is written, scored, kept and noticed."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cytomesh.analyze.layers.classes import LAYERS
from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.output import section_stem
from cytomesh.analyze.layers.run import layers_run
from cytomesh.analyze.layers.weights import load_segmenter, save_segmenter
from cytomesh.analyze.measures import load_measures
from cytomesh.core.config import load_config, preset
from cytomesh.core.errors import ConfigError, DamagedError, ImageError, MissingStageError, SplitError
from cytomesh.core.files import read_json
from cytomesh.core.run import read_study_path
from cytomesh.core.section_log import SectionLog
from cytomesh.core.tables import read_table
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export import build_encoder, save_encoder
from cytomesh.pretrain.run import pretrain_run
from cytomesh.report.layers import layers_part
from cytomesh.report.maps import node_maps
from cytomesh.report.run import report_run
from cytomesh.report.status import run_status
from cytomesh.study.contours import read_contours
from cytomesh.study.study import open_study
from cytomesh.surface.gifti import read_scalars

TRAINING = ["schedule.steps=2", "schedule.warmup_steps=1"]


@pytest.fixture(scope="module")
def run(small_study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    shutil.copytree(small_study, folder / "study")
    build_graphs(
        folder / "study" / "study.yaml",
        folder / "run",
        load_config(BuildGraphConfig, preset("build-graph", "tiny")),
        workers=1,
    )
    pretrain_run(folder / "run", "cnn", load_config(PretrainConfig, preset("pretrain", "tiny"), TRAINING))
    layers_run(folder / "run", "layers", settings(), workers=1)
    return folder / "run"


def settings(*overrides):
    return load_config(LayersConfig, preset("segment-layers", "tiny"), ["sections=all", "every=1", *overrides])


def test_every_method_is_scored_on_every_side(run):
    metrics = read_json(run / "analyze" / "layers" / "metrics.json")
    assert metrics["kind"] == "layers" and metrics["methods"].keys() == {"cnn", "profiles", "depth alone"}
    for sides in metrics["methods"].values():
        assert "unseen" in sides and "seen" in sides
    for side in ("seen", "unseen"):
        scores = {method: sides[side]["macro_f1"] for method, sides in metrics["methods"].items()}
        assert scores["profiles"] > 0.5 and scores["depth alone"] > 0.5
    profiles = metrics["methods"]["profiles"]["unseen"]
    assert len(profiles["f1"]) == 6 and len(profiles["boundary_um"]) == 5
    assert 0 < np.mean(profiles["boundary_um"]) < 600
    assert 0 < np.mean(profiles["thickness"]["error_mm"]) < 0.3
    rows = read_table(run / "analyze" / "layers" / "scores.parquet")
    assert set(rows["layer"]) == set(LAYERS)


def test_layers_of_a_node_add_up_to_its_cortex(run):
    for graph in load_graphs(run):
        table = load_measures(run, "layers", graph)
        mm = np.stack([table[f"layer_{layer}_mm"] for layer in LAYERS], axis=1)
        share = np.stack([table[f"layer_{layer}_share"] for layer in LAYERS], axis=1)
        known = np.isfinite(share).all(axis=1)
        assert known.sum() > 0.5 * graph.is_linked.sum() and not known[~graph.is_linked].any()
        np.testing.assert_allclose(share[known].sum(axis=1), 1.0)
        np.testing.assert_allclose(mm[known].sum(axis=1), graph.nodes["thickness_mm"][known])
        maps = read_scalars(run / "analyze" / "layers" / f"{graph.name}_layer_IV.shape.gii", graph.hemisphere)
        np.testing.assert_allclose(maps[f"{graph.name} layer_IV_mm"], np.nan_to_num(mm[:, 3]), atol=1e-6)


def test_masks_lie_between_the_contours_and_qupath_reads_their_outlines(run):
    study = open_study(run.parent / "study" / "study.yaml")
    graph = next(graph for graph in load_graphs(run) if graph.brain == "T02")
    section = study.brain("T02").section(int(np.median(graph.section[graph.is_linked])))
    stem = f"T02_section-{section.index:04d}"
    folder = run / "analyze" / "layers"
    with open_image(folder / "masks" / f"{stem}.ome.zarr" / "labels" / "layers") as image:
        assert image.um_per_px == section.um_per_px
        labels = image.read(0, 0, image.shape[0], 0, image.shape[1])[..., 0]
    assert set(np.unique(labels)) <= set(range(8)) and (labels == 7).any()
    contours = read_contours(section)["L"]
    cortex_px = contours.pial.area - contours.white.area
    assert 0.6 * cortex_px < ((labels > 0) & (labels < 7)).sum() <= 1.05 * cortex_px
    features = json.loads((folder / "contours" / f"{stem}.geojson").read_text())["features"]
    areas = {}
    for feature in features:
        name = feature["properties"]["classification"]["name"]
        ring = np.array(feature["geometry"]["coordinates"][0])
        if name == "white matter":
            areas[name] = max(areas.get(name, 0.0), ring[:, 0].max())
    white = contours.white.bounds[2] + 0.5  # QuPath counts from the pixel's corner
    assert areas["white matter"] == pytest.approx(white, abs=1.5)


def test_the_command_keeps_what_is_current_and_notices_other_layers(run, cytomesh):
    config = run / "analyze" / "layers" / "config.yaml"
    words = ("segment-layers", "--out", run, "--config", config, "--json")
    path = run / "analyze" / "layers" / "metrics.json"
    before = path.stat().st_mtime_ns
    code, out, error = cytomesh(*words)
    assert code == 0, error
    assert "profiles: unseen" in json.loads(out) and path.stat().st_mtime_ns == before
    assert {status.product: status.state for status in run_status(run)}["analyze/layers"] == "done"
    drawn = next((run.parent / "study" / "truth" / "sub-T01" / "sections").glob("*_layers.png"))
    kept = drawn.read_bytes()
    drawn.write_bytes(kept + b"0")
    assert {status.product: status.state for status in run_status(run)}["analyze/layers"] == "stale"
    drawn.write_bytes(kept)


def test_the_report_shows_scores_and_pictures(run):
    part = layers_part(run)
    assert not part.is_absent and "<h3>layers</h3>" in part.body
    for text in ("depth alone", "layer IV", "unseen: a new brain", "drawn", "found", "µm"):
        assert text in part.body
    assert "layers" in report_run(run)["parts"]
    path = run / "analyze" / "layers" / "metrics.json"
    kept = path.read_text()
    record = json.loads(kept)
    record["methods"]["cnn"]["seen"]["f1"] = [1.0]
    path.write_text(json.dumps(record))
    damaged = layers_part(run).body
    assert "metrics.json is damaged: layers" in damaged and "<h3>layers</h3>" not in damaged
    path.write_text(kept)


def test_decoders_of_a_run_load_and_see_the_same(run, tmp_path):
    folder = run / "analyze" / "layers"
    model = load_segmenter(folder, run / "encoders" / "cnn")
    stored = load_file(folder / "cnn.safetensors")
    state = model.state_dict()
    assert stored and all(torch.equal(state[key], value) for key, value in stored.items())
    size = model.decoder.size_px
    seen = model.probabilities(np.full((2, 1, 32, 32), 90, np.uint8), np.zeros((2, size, size), np.float32))
    np.testing.assert_allclose(seen.sum(axis=1), 1.0, rtol=1e-5)
    with torch.no_grad():
        model.decoder.last[-1].bias += 1
    model.name = "tuned"
    shutil.copy(folder / "config.yaml", tmp_path)
    shutil.copy(folder / "metrics.json", tmp_path)
    shutil.copytree(run / "encoders" / "cnn", tmp_path / "tuned")
    save_segmenter(tmp_path, model, with_encoder=True)
    again = load_segmenter(tmp_path, tmp_path / "tuned").state_dict()
    assert all(torch.equal(again[key], value) for key, value in model.state_dict().items())
    with pytest.raises(MissingStageError, match=r"no such decoder.*cnn"):
        load_segmenter(folder, tmp_path / "tuned")
    (tmp_path / "tuned.safetensors").write_bytes(b"x")
    with pytest.raises(DamagedError, match="weights of a decoder"):
        load_segmenter(tmp_path, tmp_path / "tuned")


def test_shares_of_all_methods_stand_side_by_side(run):
    graph = load_graphs(run)[0]
    table = read_table(run / "analyze" / "layers" / "shares" / f"{graph.name}.parquet")
    nodes = load_measures(run, "layers", graph)
    np.testing.assert_array_equal(table["cnn: IV"], nodes["layer_IV_share"])
    for method in ("truth", "profiles", "depth alone"):
        total = sum(table[f"{method}: {layer}"] for layer in LAYERS)
        np.testing.assert_allclose(total[np.isfinite(total)], 1.0)
        assert np.isfinite(total).any()
    assert {f"thickness of layer {layer}, layers" for layer in LAYERS} <= {item.title for item in node_maps(run, graph)}


def test_every_third_section_of_each_side_by_a_cnn_and_a_vit_of_few_tokens(run, tmp_path):
    given = load_config(PretrainConfig, preset("pretrain", "tiny"), ["encoder={name: test_vit, patch_size: 16}"])
    save_encoder(tmp_path / "vit", "vit", build_encoder(given), given, {})
    layers_run(run, "some", settings("every=3", "training.steps=2", f"encoders=[cnn, {tmp_path / 'vit'}]"), workers=1)
    (note,) = [note for note in read_json(run / "analyze" / "some" / "metrics.json")["notes"] if "places" in note]
    assert note.startswith("vit: test_vit has 2 x 2 places (tokens) in a patch of 32 px, one every 16 px: ")
    drawn = {path.name for path in (run / "analyze" / "some" / "masks").iterdir()}
    every = {path.name for path in (run / "analyze" / "layers" / "masks").iterdir()}
    assert drawn < every and len(drawn) < 0.6 * len(every)
    sides = [read_json(run / "analyze" / name / "metrics.json")["methods"]["cnn"].keys() for name in ("some", "layers")]
    assert sides[0] == sides[1]


def files_of(folder):
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if name.name not in ("provenance.json", "config.yaml")}


def few(*overrides):
    return settings("every=6", "training.steps=2", *overrides)


@pytest.fixture(scope="module")
def made_here(run):
    """What a few sections leave, by file."""
    layers_run(run, "few", few(), workers=1)
    return files_of(run / "analyze" / "few")


def test_who_segments_changes_nothing(run, made_here, dask_cluster):
    layers_run(run, "few", few(), resume=False, scheduler=dask_cluster.address)
    assert files_of(run / "analyze" / "few") == made_here and len(made_here) > 20


def test_a_bad_section_stops_or_is_left_out_and_the_others_are_kept(run, made_here, capsys):
    masks = {path.parts[1] for path in made_here if path.parts[0] == "masks"}
    brain = open_study(read_study_path(run)).brains[-1]  # not learnt from
    section = next(s for s in brain.sections if f"{section_stem(s.brain, s.index)}.ome.zarr" in masks)
    away = section.image.rename(section.image.with_name("away"))
    try:
        with pytest.raises(ImageError, match=section.image.name):
            layers_run(run, "bad", few(), workers=1, allow_stale=True)
        states = SectionLog(run / "analyze" / "bad").states
        assert states[section.name].state == "failed" and 1 < len(states) <= len(masks)
        capsys.readouterr()
        layers_run(run, "bad", few("on_bad_section=skip"), workers=1, allow_stale=True)
        assert f"segment sections: {len(states) - 1} of " in capsys.readouterr().err
        left = {path.name for path in (run / "analyze" / "bad" / "masks").iterdir()}
        assert masks - left == {f"{section_stem(section.brain, section.index)}.ome.zarr"}
        metrics = read_json(run / "analyze" / "bad" / "metrics.json")
        assert list(metrics["left_out"]) == [section.name]
        assert f"{section.name} is left out" in layers_part(run).body
        assert not list((run / "analyze" / "bad").glob(".*"))
    finally:
        away.rename(section.image)
        shutil.rmtree(run / "analyze" / "bad", ignore_errors=True)


def relabelled(run, folder, change):
    """Write the masks of the study anew; returns the settings that read them, with 9 for what nobody knows."""
    folder.mkdir()
    for path in read_study_path(run).parent.glob("truth/sub-*/sections/*_layers.png"):
        labels = change(np.asarray(Image.open(path)).copy())
        Image.fromarray(labels).save(folder / path.name)
    codes = "{I: [1], II: [2], III: [3], IV: [4], V: [5], VI: [6], white: [7], ignore: [9]}"
    return few(f"truth.files={folder}/sub-{{brain}}_sample-{{section:04d}}_layers.png", f"truth.codes={codes}")


def test_a_little_drawn_cortex_is_enough(run, made_here, tmp_path):
    """Patches of what nobody drew have nothing to learn from: a batch of such alone has no loss."""

    def stripe(labels):
        third = len(labels) // 3
        labels[:third] = labels[third + third // 4 :] = 9
        return labels

    own = relabelled(run, tmp_path / "stripe", stripe)
    training = own.training.model_copy(update={"steps": 30, "batch_size": 1})
    layers_run(run, "stripe", own.model_copy(update={"training": training}), workers=1)
    metrics = read_json(run / "analyze" / "stripe" / "metrics.json")
    whole = read_json(run / "analyze" / "few" / "metrics.json")
    seen, wholly = (found["methods"]["profiles"]["seen"] for found in (metrics, whole))
    assert seen["macro_f1"] > 0.5 and 0 < seen["n_columns"] < 0.5 * wholly["n_columns"]
    with pytest.raises(SplitError, match=r"truth: train: found no node where layers are known.*truth\.codes"):
        layers_run(run, "none", relabelled(run, tmp_path / "none", lambda labels: np.full_like(labels, 9)))


def test_what_is_missing_or_wrong_is_named(run, tmp_path):
    with pytest.raises(MissingStageError, match="no file of layers"):
        layers_run(run, "x", settings("truth.files=nowhere/{brain}_{section}.png"))
    with pytest.raises(MissingStageError, match="no trained encoder"):
        layers_run(run, "x", settings("encoders=[vit]"))
    with pytest.raises(ImageError, match="values .* that no layer takes"):
        layers_run(run, "x", settings("truth.codes={I: [1], white: [7]}"))
    with pytest.raises(SplitError):
        layers_run(run, "x", settings("split={kind: brain, train: [T01], test: [T01]}"))
    with pytest.raises(ConfigError):
        settings("decoder.width=0")
    for name, words in (("profiles", "what stands beside encoders"), ("cnn", "two encoders of one name")):
        other = tmp_path / name
        shutil.copytree(run / "encoders" / "cnn", other)
        with pytest.raises(ConfigError, match=f"encoders: {name}: .*{words}"):
            layers_run(run, "x", settings(f"encoders=[cnn, {other}]"))
