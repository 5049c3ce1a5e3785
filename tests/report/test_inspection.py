"""The part on feature space and the page beside the results, with images, a ViT and a CNN."""

import json
import shutil

import numpy as np
import pytest

from cytomesh.analyze.inspect.attention import attention_maps
from cytomesh.analyze.inspect.config import InspectConfig
from cytomesh.analyze.inspect.run import inspect_run
from cytomesh.analyze.inspect.saliency import read_saliency
from cytomesh.core.errors import DamagedError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.core.run import read_study_path
from cytomesh.core.tables import read_table
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.export import build_encoder, load_encoder, save_encoder
from cytomesh.report.inspection import inspect_page, inspect_part
from cytomesh.report.run import report_run
from cytomesh.study.study import open_study

VIT = {"name": "test_vit", "patch_size": 4, "channels_last": False}
CNN = {"name": "test_resnet"}


@pytest.fixture(scope="module")
def looked(run, tmp_path_factory):
    """A copy of the run with a ViT, its features, and two analyses: of it, and of the CNN on the same features."""
    folder = tmp_path_factory.mktemp("inspection")
    shutil.copytree(run.parent, folder / "copy")
    run = folder / "copy" / "run"
    for name, encoder in (("vit", VIT), ("net", CNN)):
        given = {"encoder": {**encoder, "in_chans": 1}, "patches": {"size_px": 16, "um_per_px": 250.0}}
        settings = PretrainConfig.model_validate(given)
        save_encoder(run / "encoders" / name, name, build_encoder(settings), settings, {})
    embed_run(run, "vit", EmbedConfig(device="cpu"))
    given = {"features": "vit", "map": {"method": "pca", "n_nodes": 150}, "examples": {"n_areas": 2, "per_area": 1}}
    inspect_run(run, "heads", InspectConfig.model_validate(given))
    given |= {"features": "cnn", "examples": {"n_areas": 1, "per_area": 1, "encoder": "net"}}
    inspect_run(run, "places", InspectConfig.model_validate(given))
    return run


def test_patches_are_those_of_the_nodes_and_attention_is_theirs(looked):
    folder = looked / "analyze" / "heads"
    table, patches = read_table(folder / "examples.parquet"), np.load(folder / "patches.npy")
    graphs, study = {graph.name: graph for graph in load_graphs(looked)}, open_study(read_study_path(looked))
    for row in range(len(table)):
        graph, node = graphs[table["graph"][row]], int(table["node"][row])
        section = study.brain(graph.brain).section(int(graph.section[node]))
        place = graph.nodes.stack(["column_px", "row_px"])[[node]]
        with open_image(section.image) as image:
            expected = read_patches(image, section.um_per_px, place, graph.nodes["angle_deg"][[node]], 16, 250.0)
        np.testing.assert_array_equal(patches[row], expected[0])
    found = attention_maps(load_encoder(looked / "encoders" / "vit"), patches[table["is_example"]])
    stored = read_saliency(folder / "saliency.parquet")
    np.testing.assert_allclose(stored, found.maps.reshape(stored.shape), atol=1e-6)
    record = read_json(folder / "metrics.json")["saliency"]
    assert record["method"] == "attention" and len(record["panels"]) == found.maps.shape[1] * found.maps.shape[2]


def test_maps_of_few_places_are_said_to_be(looked):
    notes = read_json(looked / "analyze" / "heads" / "metrics.json")["notes"]
    assert sum("4 x 4 places (tokens) in a patch of 16 px" in note for note in notes) == 1
    assert "4 x 4 places" in inspect_page(looked, "heads").read_text()
    others = read_json(looked / "analyze" / "places" / "metrics.json")["notes"]
    assert not any("places (tokens)" in note for note in others)  # 8 x 8


def test_the_page_shows_all_of_it(looked):
    text = inspect_page(looked, "heads").read_text()
    for words in (
        "Brains and areas",
        "Map of the feature space",
        "Similarity of areas",
        "Attention of the class token",
        "layer 1 of 6, head 2",
        "16 x 16 px at 250 µm/px, a field of 4 mm",
        "cosine 0.",
        "pairs of two brains",
        "4a &lt;b&gt;&amp;",
    ):
        assert words in text, words
    n_shown = len(read_table(looked / "analyze" / "heads" / "neighbours.parquet")) + 2
    assert text.count("data:image/jpeg") == n_shown + 2 * (1 + 4)
    assert "http://" not in text.replace("http://www.w3.org", "").split("<script>")[0]
    other = inspect_page(looked, "places").read_text()
    assert "Grad-CAM" in other and "test_resnet" in other


def test_the_report_has_a_part_on_it(looked):
    part = inspect_part(looked)
    for words in ("heads: features vit", "places: features cnn", "analyze/heads/inspect.html", "silhouette"):
        assert words in part.body
    assert "inspect" in report_run(looked)["parts"]


def test_damage_costs_its_part_and_is_named(looked, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(looked / "analyze", run / "analyze")
    path = run / "analyze" / "places" / "metrics.json"
    record = json.loads(path.read_text())
    for spoilt in ({**record, "map": {}}, {**record, "separation": {"area": {}}}, {"kind": "inspect"}):
        path.write_text(json.dumps(spoilt))
        part = inspect_part(run)
        assert "damaged: places" in part.body and "heads: features vit" in part.body
        with pytest.raises(DamagedError):
            inspect_page(run, "places")
    (run / "analyze" / "heads" / "map.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedError):
        inspect_part(run)
    with pytest.raises(MissingStageError, match="cytomesh inspect --out"):
        inspect_page(run, "none")
