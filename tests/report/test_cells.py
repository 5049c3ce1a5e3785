"""The part on cells: tables by layer, profiles by depth, and damage costs a line."""

import json

import pytest

from cytomesh.core.files import write_json
from cytomesh.graph.storage import save_graph
from cytomesh.report.cells import cells_part
from cytomesh.report.run import report_run
from tests.conftest import sphere_graph


@pytest.fixture
def run(tmp_path):
    save_graph(tmp_path, sphere_graph(), {}, {})
    row = {"n_cells": 1234.0, "cortex_mm2": 2.5, "density_per_mm2": 493.6, "area_um2": 77.25, "diameter_um": 9.9}
    layers = [{"layer": name, **row} for name in ("all", "I", "II", "III", "IV", "V", "VI")]
    profile = [{"depth": (i + 0.5) / 4, **row} for i in range(4)]
    profile[2] |= {"density_per_mm2": None}
    facts = {
        "kind": "cells",
        "correction": "none of them",
        "depth": "linear",
        "layers_from": "table",
        "notes": ["one & two"],
    }
    graphs = {"B01_hemi-L": {"n_cortex": 9, "sections": [3], "n_nodes": 5, "layers": layers, "profile": profile}}
    write_json(tmp_path / "analyze" / "cells" / "metrics.json", {**facts, "graphs": graphs})
    return tmp_path


def test_layers_stand_in_a_table_and_depth_in_charts(run):
    part = cells_part(run)
    assert not part.is_absent
    for text in ("none of them", "1,234", "77.2", "per mm²", "linear depth (0 pial, 1 white)", "one &amp; two"):
        assert text in part.body
    assert "per mm³</span>" not in part.body  # not measured: no column
    assert "Layers as the tables of cells say." in part.body
    assert "cells" in report_run(run)["parts"]
    assert 'id="cells"' in (run / "report.html").read_text()


def test_damage_is_named(run):
    path = run / "analyze" / "cells" / "metrics.json"
    record = json.loads(path.read_text())
    for spoilt in ({**record, "layers_from": "air"}, {**record, "graphs": {"B01_hemi-L": {}}}):
        path.write_text(json.dumps(spoilt))
        part = cells_part(run)
        assert part.is_absent and "damaged: cells" in part.body
