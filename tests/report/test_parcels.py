"""The page of a parcellation: what is on it, and that it needs nothing from elsewhere."""

import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytomesh.core.errors import MissingStageError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.tables import Table, read_table, write_table
from cytomesh.graph.features import load_features, save_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run
from cytomesh.report.parcels import parcel_page
from cytomesh.report.run import report_run

GRAPH = "B01_hemi-L"


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory) -> Path:
    """The run with a candidate subdivision and a choice of k."""
    copy = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(run, copy)
    folder = copy / "parcellate" / "spectral"
    entry = {
        "area": "4a <b>&",
        "parcels": [1, 2],
        "contrast": 3.5,
        "null_mean": 1.5,
        "effect_sd": 2.5,
        "p": 0.04,
        "node": 7,
        **{"x_mm": -30.0, "y_mm": 1.0, "z_mm": 2.0},
        "places": [{"section": 3, "column_px": 11.0, "row_px": 12.0}],
    }
    others = [{**entry, "p": 0.06, "node": 8}, {**entry, "p": None, "node": 9}]
    write_json(folder / f"{GRAPH}_subdivisions.json", [entry, *others])
    cards = read_json(folder / f"{GRAPH}_parcels.json")
    cards[0] |= {
        "n_annotated": 1234,
        "overlaps": [{"area": "V2", "share": 0.51}, {"area": "V1", "share": 0.4}],
        "most_similar": [
            {"area": "V2", "distance": 1.0, "over_null": 3.0},
            {"area": "A1", "distance": 2.0, "over_null": 1.0},
        ],
    }
    write_json(folder / f"{GRAPH}_parcels.json", cards)
    metrics = read_json(folder / "metrics.json")
    row = {"co_assignment": 0.8, "geometry": 0.4, "noise": 0.3, "times_null": 2.0}
    metrics["graphs"][GRAPH]["candidates"] = [{"n_parcels": k, **row} for k in (4, 8)]
    write_json(folder / "metrics.json", metrics)
    return folder


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return parcel_page(folder.parents[1], folder.name).read_text(encoding="utf-8")


def test_page_lies_beside_the_results_and_loads_nothing(folder: Path, text: str) -> None:
    assert (folder / "parcels.html").is_file()
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.search(r'(?:src|href)="(?!#|data:)', without_scripts)
    assert "default-src 'none'" in html.unescape(without_scripts)


def test_parcels_are_seen_beside_their_confidence_or_else_the_areas(folder: Path, text: str, tmp_path: Path) -> None:
    assert re.findall(r'data-map="([^"]*)"', text) == ["parcels", "confidence"]
    copy = tmp_path / "run"
    shutil.copytree(folder.parents[1], copy)
    for path in (copy / "parcellate" / folder.name).glob("*.parquet"):
        columns = dict(read_table(path).columns)
        columns.pop("confidence", None)  # not of every hemisphere
        write_table(path, Table(columns))
    text = parcel_page(copy, folder.name).read_text(encoding="utf-8")
    assert re.findall(r'data-map="([^"]*)"', text) == ["parcels", "annotation"]


def test_every_parcel_has_its_card(folder: Path, text: str) -> None:
    data = json.loads(re.search(r'id="viewer".*?<script type="application/json">(.*?)</script>', text, re.S)[1])
    cards = read_json(folder / f"{GRAPH}_parcels.json")
    graph = next(graph for graph in data["graphs"] if graph["name"] == GRAPH)
    parcels = next(item for item in graph["maps"] if item["title"] == "parcels")
    table = data["tables"][parcels["table"]]
    assert len(parcels["details"]) == len(table["names"]) == len(cards)
    for card, lines in zip(cards, parcels["details"], strict=True):
        assert lines[0].startswith(f"{card['n_nodes']:,} nodes")
        assert any(line.startswith("confidence") for line in lines)
        assert any("SD)" in line for line in lines)  # similarity never without its null
    assert "lies in V2 51 %, V1 40 % of 1,234 annotated nodes" in parcels["details"][0]
    assert "most similar to V2 (+3.0 SD), A1 (+1.0 SD)" in parcels["details"][0]
    assert {"confidence", "annotation", "gradient 1"} <= {item["title"] for item in graph["maps"]}
    (mark,) = graph["marks"]  # the others are not rare enough, or not compared with noise
    assert mark["row"] == 7
    assert mark["lines"][0] == "candidate subdivision of 4a <b>&"
    assert any("section 3: 11, 12 px" in line for line in mark["lines"])


def test_scores_stand_beside_their_nulls(text: str) -> None:
    assert text.count("noise in place of features") == 1
    assert "halves of its" in text
    assert "B01_hemi-L and B02_hemi-L" in text
    assert "4a &lt;b&gt;&amp;" in text
    assert "<b>&" not in text.replace("4a \\u003cb>&", "")
    assert "How many parcels" in text


def test_cards_of_an_earlier_version(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder.parents[1], copy)
    path = copy / "parcellate" / folder.name / f"{GRAPH}_parcels.json"
    earlier = [{key: value for key, value in card.items() if key != "n_annotated"} for card in read_json(path)]
    write_json(path, [{**card, "overlaps": {"V1": 0.5}} for card in earlier])
    with pytest.raises(MissingStageError, match="earlier version.*--no-resume"):
        parcel_page(copy, folder.name)


def test_unfinished_parcellation(run: Path) -> None:
    with pytest.raises(MissingStageError, match="parcellate"):
        parcel_page(run, "nothing")


def test_graphs_without_pixels(run: Path, tmp_path) -> None:
    """Own surfaces and features: nodes that name a section, and no place in its image."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.copytree(run.parent / "study", tmp_path / "study")
    for graph in load_graphs(copy):
        nowhere = dict.fromkeys(("column_px", "row_px", "angle_deg"), np.full(graph.n_nodes, np.nan))
        features = np.array(load_features(copy, "cnn", graph))
        own = replace(graph, nodes=Table({**graph.nodes.columns, **nowhere}, metadata=graph.nodes.metadata))
        surfaces = {"pial": graph.mesh, "white": graph.mesh}
        save_graph(copy, own, surfaces, read_json(copy / "graphs" / graph.name / "qc.json"))
        save_features(copy, "cnn", own, features, {"size_px": 16, "um_per_px": 250.0})
    settings = {"n_parcels": 8, "n_gradients": 2, "evaluation": {"spins": 2, "tilings": 2, "baselines": []}}
    parcellate_run(copy, "own", ParcellateConfig.model_validate(settings))
    entries = read_json(copy / "parcellate" / "own" / f"{GRAPH}_subdivisions.json")
    assert entries and not any(entry["places"] for entry in entries)
    page = parcel_page(copy, "own").read_text(encoding="utf-8")
    assert "Candidate subdivisions" in page and "look at section" not in page
    assert "where to look" not in page and "found again from half of the sections" in page
    metrics = read_json(copy / "parcellate" / "own" / "metrics.json")
    for graph in metrics["graphs"].values():
        graph["stability"]["units"] = "slabs"
    write_json(copy / "parcellate" / "own" / "metrics.json", metrics)
    assert "found again from half of the slabs" in parcel_page(copy, "own").read_text(encoding="utf-8")
    # files of an earlier version
    without = {"section": 3, "column_px": None, "row_px": None}
    changed = [{**entry, "p": 0.01, "places": [without]} for entry in entries]
    write_json(copy / "parcellate" / "own" / f"{GRAPH}_subdivisions.json", changed)
    assert "look at section" not in parcel_page(copy, "own").read_text(encoding="utf-8")
    report_run(copy)


def test_without_annotated_areas_nothing_reads_like_a_result(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(folder.parents[1], copy)
    place = copy / "parcellate" / folder.name
    metrics = read_json(place / "metrics.json")
    for graph in load_graphs(copy):
        bare = Table({**graph.nodes.columns, "annotation": np.zeros(graph.n_nodes, np.int32)})
        quality = read_json(copy / "graphs" / graph.name / "qc.json")
        save_graph(copy, replace(graph, nodes=bare), {"pial": graph.mesh, "white": graph.mesh}, quality)
        path = place / f"{graph.name}_parcels.json"
        none = {"n_annotated": 0, "overlaps": [], "most_similar": []}
        write_json(path, [{**card, **none} for card in read_json(path)])
        write_json(place / f"{graph.name}_subdivisions.json", [])
        metrics["graphs"][graph.name]["areas"] = {}
    write_json(place / "metrics.json", metrics)
    text = parcel_page(copy, folder.name).read_text(encoding="utf-8")
    assert "there are no annotated areas that a border could divide" in text and "is stronger than" not in text
    body = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    for word in ("lies in", "most similar", "NMI", "over null", "White diamonds"):
        assert word not in body
    data = json.loads(re.search(r'id="viewer".*?<script type="application/json">(.*?)</script>', text, re.S)[1])
    assert "annotation" not in {item["title"] for item in data["graphs"][0]["maps"]}
