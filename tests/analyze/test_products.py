"""A name among the analyses belongs to the command that made its result."""

import json

import pytest

from cytomesh.analyze.own_measures import MeasuresConfig, measures_run
from cytomesh.analyze.products import analysis_product
from cytomesh.core.errors import ConfigError
from cytomesh.graph.storage import save_graph
from tests.conftest import sphere_graph


def test_a_result_of_another_command_is_not_replaced(tmp_path):
    graph = sphere_graph("B01", "L", subdivisions=1)
    save_graph(tmp_path / "run", graph, {}, {})
    (tmp_path / f"{graph.name}.csv").write_text("myelin\n" + "1\n" * graph.n_nodes)
    layers = tmp_path / "run" / "analyze" / "layers" / "metrics.json"
    layers.parent.mkdir(parents=True)
    layers.write_text(json.dumps({"kind": "layers"}))
    settings = MeasuresConfig(files=str(tmp_path / "{graph}.csv"))
    with pytest.raises(ConfigError, match=r"--name: layers: found a result of 'cytomesh segment-layers'.*another name"):
        measures_run(tmp_path / "run", "layers", settings)
    assert json.loads(layers.read_text()) == {"kind": "layers"}
    for _ in range(2):  # its own name is free, and then its own
        assert measures_run(tmp_path / "run", "own", settings, resume=False)[graph.name] == {"myelin": graph.n_nodes}


@pytest.mark.parametrize("text", [None, "not JSON", "{}"])
def test_what_says_nothing_of_its_command_is_made_again(tmp_path, text):
    folder = tmp_path / "analyze" / "old"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "metrics.json").write_text(text)
    assert analysis_product(tmp_path, "old", "layers").folder == folder
