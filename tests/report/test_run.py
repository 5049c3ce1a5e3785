import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cytomesh.classify.config import ClassifyConfig, PredictConfig
from cytomesh.classify.predict import predict_run
from cytomesh.core.errors import ConfigError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.run import Product
from cytomesh.core.tables import Table
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.report.run import report_run
from cytomesh.report.status import run_status

PARTS = ["surfaces", "pretraining", "classification", "parcellation", "sections", "patches", "quality"]


class Page(HTMLParser):
    """Text, tables, tags with attributes, and data blocks of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in_script = False
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        self._in_script = name in ("script", "style")
        if name == "tr":
            self.rows.append([])
        if name in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, name: str) -> None:
        self._in_script = False
        if name in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)
            return
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def summary(run: Path) -> dict:
    return report_run(run)


@pytest.fixture(scope="module")
def text(run: Path, summary: dict) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_part_is_there_and_in_the_contents(summary: dict, page: Page) -> None:
    assert summary["parts"] == PARTS
    assert summary["absent"] == []
    assert [attributes["id"] for name, attributes in page.tags if name == "section"] == PARTS
    links = [attributes["href"] for name, attributes in page.tags if name == "a"]
    assert links == [f"#{part}" for part in PARTS]


def test_annotation_is_seen_first_and_a_prediction_beside_it(page: Page) -> None:
    panels = [attributes["data-map"] for _, attributes in page.tags if attributes.get("class") == "view-panel"]
    assert panels[0] == "annotation" and panels[1].startswith("prediction, ")


def test_page_is_small_and_fast(summary: dict) -> None:
    assert summary["megabytes"] < 25
    assert summary["seconds"] < 20


def test_nothing_is_loaded_from_outside(text: str, page: Page) -> None:
    for name, attributes in page.tags:
        for key in ("src", "href", "data", "action", "poster"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:")), (name, key, value)
    assert not any(name in ("link", "iframe", "object", "base") for name, _ in page.tags)
    policy = next(
        a["content"] for n, a in page.tags if n == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    styles = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert not any("url(" in style or "@import" in style for style in styles)


def test_names_are_shown_as_written(text: str, page: Page) -> None:
    assert "<i>Ellipsoid</i> & friends" in page.text
    assert "4a <b>&" in page.text
    assert "B01_hemi-L: section 4: left out: ring <crosses> itself; section 7: missing" in page.text
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert "<i>" not in markup
    assert "<b>&" not in markup
    assert "<crosses>" not in markup


@pytest.mark.parametrize("model", ["linear", "mlp"])
@pytest.mark.parametrize("side", ["seen", "unseen"])
def test_scores_equal_the_metrics(run: Path, page: Page, model: str, side: str) -> None:
    split = read_json(run / "classify" / model / "metrics.json")["splits"][side]
    mean, sd = split["mean"]["macro_f1"], split["sd"]["macro_f1"]
    expected = f"{mean:.3f}" if len(split["seeds"]) == 1 else f"{mean:.3f} ± {sd:.3f}"
    heads = next(row for row in page.rows if row[0].startswith("model") and row[-1].startswith("inputs"))
    column = next(i for i, head in enumerate(heads) if head.startswith(side))
    row = next(row for row in page.rows if row[0] == model and len(row) == len(heads))
    assert row[column] == expected
    area = split["ensemble"]["per_class"][1]
    assert [
        area["area"],
        f"{area['support']:,.0f}",
        *(f"{area[key]:.3f}" for key in ("f1", "precision", "recall")),
    ] in page.rows


@pytest.mark.parametrize("side", ["seen", "unseen"])
def test_scores_stand_beside_what_needs_no_image(run: Path, page: Page, side: str) -> None:
    split = read_json(run / "classify" / "linear" / "metrics.json")["splits"][side]
    heads = next(row for row in page.rows if row[0].startswith("model") and row[-1].startswith("inputs"))
    column = next(i for i, head in enumerate(heads) if head.startswith(side))
    row = next(row for row in page.rows if row[0] == "no image: coordinates")
    assert row[column] == f"{split['baselines']['coordinates']:.3f}"


def test_measures_have_their_interval_and_distance(run: Path, page: Page) -> None:
    scores = read_json(run / "classify" / "linear" / "metrics.json")["splits"]["seen"]["ensemble"]
    interval, distance = scores["interval"], scores["error_mm"]
    text = f"{interval['low']:.2f}–{interval['high']:.2f}"
    row = next(row for row in page.rows if row[0] == "linear" and row[2].endswith(f" {text}"))
    assert row[-1].split() == f"{distance['median']:.3g} {distance['q25']:.3g}–{distance['q75']:.3g}".split()


def test_reliability_is_drawn_as_measured(run: Path, page: Page) -> None:
    split = read_json(run / "classify" / "linear" / "metrics.json")["splits"]["unseen"]
    bins = [each for each in split["ensemble"]["reliability"] if each["n_nodes"] >= 20]
    figures = [json.loads(script) for script in page.scripts if script.startswith('{"data"')]
    lines = [
        trace
        for figure in figures
        for trace in figure["data"]
        if trace.get("name") == "linear"
        and figure["layout"].get("xaxis", {}).get("title", {}).get("text", "").startswith("confidence")
    ]
    assert [each["accuracy"] for each in bins] == pytest.approx(lines[-1]["y"], rel=1e-4)


def test_agreement_equals_the_metrics(run: Path, page: Page) -> None:
    metrics = read_json(run / "parcellate" / "spectral" / "metrics.json")["graphs"]["B01_hemi-L"]
    ari = metrics["areas"]["ari"]
    row = next(row for row in page.rows if row[:2] == ["spectral", "B01_hemi-L"])
    assert row[2] == str(metrics["n_parcels"])
    assert row[3] == f"{ari['score']:.3f}"
    assert row[4] == f"{ari['geometry_mean']:.3f} ± {ari['geometry_sd']:.3f}"


def test_confusion_rows_add_up_to_the_counts(run: Path, page: Page) -> None:
    confusion = np.array(
        read_json(run / "classify" / "linear" / "metrics.json")["splits"]["seen"]["ensemble"]["confusion"]
    )
    figures = [json.loads(script) for script in page.scripts if script.startswith('{"data"')]
    maps = [figure["data"][0] for figure in figures if figure["data"][0]["type"] == "heatmap"]
    counts = np.array(maps[0]["customdata"])
    assert sorted(counts.sum(axis=1)) == sorted(confusion.sum(axis=1))
    assert sorted(np.diag(counts)) == sorted(np.diag(confusion))
    filled = counts.sum(axis=1) > 0
    np.testing.assert_allclose(np.array(maps[0]["z"], float)[filled].sum(axis=1), 100, atol=0.5)


@pytest.mark.parametrize(
    "words",
    [
        "Model 'linear' on seen, probabilities averaged over seeds",
        "Model 'linear' on seen: each row is an annotated area",
        "Most confident outside the training sections, model 'linear'",
    ],
)
def test_names_of_models_stand_apart_from_the_sentence(page: Page, words: str) -> None:
    assert words in page.text


def test_figures_are_valid_plotly(page: Page) -> None:
    import plotly.graph_objects as go

    figures = [json.loads(script) for script in page.scripts if script.startswith('{"data"')]
    assert len(figures) > 10
    for figure in figures:
        go.Figure(figure)


def test_one_copy_of_plotly(text: str) -> None:
    assert text.count("* plotly.js v") == 1


def test_stages_that_have_not_run_are_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "graphs", tmp_path / "graphs")
    summary = report_run(tmp_path)
    assert summary["parts"] == ["surfaces", "quality"]
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    for command in ("pretrain", "classify", "parcellate"):
        assert f"'cytomesh {command}' has not run" in page.text


def test_predictions_of_a_trained_classifier_are_shown(run: Path, tmp_path: Path) -> None:
    for graph in load_graphs(run):
        bare = Table({**graph.nodes.columns, "annotation": np.zeros(graph.n_nodes, np.int32)})
        save_graph(tmp_path, replace(graph, nodes=bare), {"pial": graph.mesh, "white": graph.mesh}, {"surfaces": {}})
    shutil.copytree(run / "features", tmp_path / "features")
    predict_run(tmp_path, run / "classify" / "linear", "predicted", PredictConfig(outlines=False))
    summary = report_run(tmp_path)
    assert "classification" in summary["parts"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert (
        "has not run" not in page.text.partition("Predictions by trained classifiers")[2].partition("Parcellation")[0]
    )
    record = read_json(tmp_path / "classify" / "predicted" / "prediction.json")["graphs"]
    for graph, found in record.items():
        row = next(row for row in page.rows if row[:2] == ["predicted", graph])
        assert row[2] == str(found["n_areas"]) and row[4] == f"{found['confidence']:.3f}"
    # not a map that is grey all over
    assert re.findall(r'data-map="(.*?)"', text) == ["cortical thickness", "prediction, predicted"]
    assert "left unknown" not in page.text
    predict_run(tmp_path, run / "classify" / "linear", "sure", PredictConfig(outlines=False, min_confidence=1.0))
    report_run(tmp_path)
    assert "left unknown" in Page((tmp_path / "report.html").read_text(encoding="utf-8")).text


def test_imported_surfaces_are_called_so(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for graph in load_graphs(run):
        none = np.full(graph.n_nodes, np.nan)
        nowhere = {**dict.fromkeys(("column_px", "row_px", "angle_deg", "distance_mm", "obliqueness_deg"), none)}
        columns = {**graph.nodes.columns, **nowhere, "section": np.full(graph.n_nodes, -1, np.int32)}
        columns |= {"annotation": np.zeros(graph.n_nodes, np.int32)}
        own = replace(graph, nodes=Table(columns), labels=LabelTable.from_names([]))
        save_graph(tmp_path, own, {"pial": graph.mesh, "white": graph.mesh}, {"surfaces": {}})
    with caplog.at_level("INFO", "cytomesh"):
        summary = report_run(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "obliqueness" not in caplog.text and "linked section" not in text
    page = Page(text)
    assert "Imported surfaces, without section images" in page.text and "nodes with features" in page.text
    for word in ("cannot be opened", "linked to an image", "in the label table", "Image links"):
        assert word not in page.text
    for part in ("pretraining", "sections", "patches"):
        assert part not in summary["absent"] and f'href="#{part}"' not in text
    # without areas and results, thickness is not shown twice
    assert re.findall(r'data-map="(.*?)"', text) == ["curvature", "cortical thickness"]
    shutil.copytree(run / "classify", tmp_path / "classify")
    text = report_run(tmp_path) and (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "no features: coordinates" in text and "The last rows need no features: " in text and "no image:" not in text


def test_damaged_file_costs_its_part_only(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    (tmp_path / "classify" / "mlp" / "metrics.json").write_text('{"splits": ')
    (tmp_path / "parcellate" / "spectral" / "B01_hemi-L.label.gii").write_bytes(b"<GIFTI")
    summary = report_run(tmp_path)
    assert "quality" in summary["parts"]
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Not shown: " in page.text


def test_what_a_first_run_left_when_it_failed_is_no_result(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)

    def fails() -> None:
        raise ConfigError("null", found="an error after the predictions were written")

    for stage, name in (("classify", "mlp"), ("parcellate", "spectral")):
        result, begun = Product(tmp_path, f"{stage}/{name}"), tmp_path / stage / "begun"
        inputs = result.record.inputs
        with pytest.raises(ConfigError), Product(tmp_path, f"{stage}/begun").writing(inputs, ClassifyConfig(), 0):
            shutil.copytree(result.folder, begun, dirs_exist_ok=True, ignore=shutil.ignore_patterns("provenance.json"))
            fails()
    page = Page(report_run(tmp_path) and (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.text.count("Not shown, since it is not finished ('cytomesh status' says why): begun.") == 2
    assert not any("begun" in cell for row in page.rows for cell in row)
    assert not any("begun" in (attributes.get("data-map") or "") for _, attributes in page.tags)
    assert "training sections, model 'mlp'" in page.text and "training sections, model 'begun'" not in page.text
    failed = {status.product: status for status in run_status(tmp_path) if status.state == "failed"}
    assert failed.keys() == {"classify/begun", "parcellate/begun"}
    assert "after the predictions were written" in failed["classify/begun"].reasons[0]


def test_failure_keeps_the_page_before(run: Path, tmp_path: Path, summary: dict) -> None:
    shutil.copytree(run / "graphs", tmp_path / "graphs")
    report_run(tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    shutil.rmtree(tmp_path / "graphs")
    with pytest.raises(MissingStageError):
        report_run(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.glob(".partial-*"))


def test_command(cytomesh, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "graphs", tmp_path / "graphs")
    code, out, _ = cytomesh("report", "--out", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)["report"] == str(tmp_path / "report.html")
    code, _, err = cytomesh("report", "--out", tmp_path / "nothing")
    assert code == 1
    assert "build-graph" in err


@pytest.mark.parametrize("text", ["[]", "null", "{}"])
def test_records_of_another_kind_are_left_out(run: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(run, tmp_path, dirs_exist_ok=True)
    for path in [*tmp_path.glob("classify/*/metrics.json"), *tmp_path.glob("parcellate/*/metrics.json")]:
        path.write_text(text)
    for path in tmp_path.glob("graphs/*/qc.json"):
        path.write_text(text)
    for path in tmp_path.glob("parcellate/*/*.parquet"):
        if "null" not in path.name:
            pq.write_table(pq.read_table(path).slice(0, 50), path)
    assert "surfaces" in report_run(tmp_path)["parts"]
