"""Sums as rows of a table."""

import numpy as np
import pytest

from cytomesh.analyze.cells.measure import Tally, everyone
from cytomesh.analyze.cells.rows import layer_rows, of_layer, profile_rows, write_rows
from cytomesh.core.tables import read_table
from tests.analyze.cells.conftest import LAYERED, settings


def tally():
    found = Tally.empty(1)
    layer = np.array([3, 3, 5], np.int8)
    found.add_cells(
        everyone(3), layer, np.ones(3), {"area_um2": np.array([10.0, 20.0, 60.0]), "circularity": np.ones(3)}
    )
    found.add_cortex(everyone(40), np.repeat([3, 5], 20).astype(np.int8), 0.1, np.nan)
    return found


def test_a_row_for_all_and_one_for_each_layer(tmp_path):
    rows = layer_rows(tally(), 0.1, settings(layers=LAYERED))
    assert [row["layer"] for row in rows] == ["all", "I", "II", "III", "IV", "V", "VI"]
    assert rows[0]["density_per_mm2"] == pytest.approx(0.75) and rows[3]["density_per_mm2"] == pytest.approx(1.0)
    assert rows[3]["area_um2"] == 15 and rows[1]["area_um2"] is None and rows[5]["circularity"] == 1
    assert len(layer_rows(tally(), 0.1, settings())) == 1
    write_rows(tmp_path / "rows.parquet", rows)
    table = read_table(tmp_path / "rows.parquet")
    assert table["layer"].tolist()[1] == "I" and np.isnan(table["area_um2"][1]) and table.units["area_um2"] == "um2"


def test_a_row_for_each_bin_of_depth():
    rows = profile_rows(Tally.empty(4), 0.1)
    assert [row["depth"] for row in rows] == [0.125, 0.375, 0.625, 0.875] and rows[0]["density_per_mm2"] is None


def test_columns_of_layers_are_named_alike():
    assert of_layer("density_per_mm3", "III") == "density_III_per_mm3"
    assert of_layer("circularity", "V") == "circularity_V"
    assert of_layer("n_cells", "I") == "n_cells_I"
