"""Columns that number the rows put them in place, or are refused; they are no maps."""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.rows import distinct, is_vertex_column
from cytomesh.surface.vertex_data import read_vertex_data

N = 12
VALUES = np.linspace(1, 2, N)
TABLE = pd.DataFrame({"a": VALUES})
SHUFFLED = TABLE.sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    "name", ["", "Unnamed: 0", "__index_level_0__", "vertex", "Vertex_ID", "node", "index", " vtx ", "vno"]
)
def test_names_of_columns_that_number_rows(name):
    assert is_vertex_column(name)
    assert not is_vertex_column(f"{name} area")


def test_maps_of_one_name_stay_apart():
    assert list(distinct([("a", VALUES), ("a", VALUES), ("", VALUES), ("a 0", VALUES)])) == [
        "a 0",
        "a 1",
        "map 2",
        "a 0'",
    ]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("table", [TABLE, SHUFFLED, TABLE[::-1]], ids=["in order", "shuffled", "reversed"])
def test_rows_are_put_in_place(tmp_path, caplog, table, first):
    table.set_index(table.index + first).to_csv(tmp_path / "unnamed.csv")
    table.assign(Vertex=table.index + first).to_csv(tmp_path / "named.tsv", index=False, sep="\t")
    table.set_index(table.index.rename("roi") + first).to_parquet(tmp_path / "index.parquet")
    for path in tmp_path.iterdir():
        with caplog.at_level(logging.WARNING, "cytomesh"):
            maps = read_vertex_data(path, N, "L")
        assert list(maps) == ["a"] and (table is TABLE or f"{path}: rows are sorted by" in caplog.messages[-1])
        np.testing.assert_allclose(maps["a"], VALUES)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"vertex": [*range(N - 1), 3]},
            "column 'vertex': found 3 in 2 rows, expected the number of every",
        ),
        ({"vertex": [*range(1, N), 99]}, "column 'vertex': found no row of vertex 12"),
        ({"vertex": [*range(7), *range(8, N + 1)]}, "column 'vertex': found no row of vertex 7, expected the number"),
        ({"vertex": range(100, 100 + N)}, "not the numbers of vertices"),
        ({"index": [f"v{i}" for i in range(N)]}, "another name"),
        ({"vertex": SHUFFLED.index, "node": np.roll(SHUFFLED.index, 1)}, "order the rows differently"),
        ({"vertex": np.arange(N) + 0.5}, "column 'vertex'"),
    ],
)
def test_other_numbers_are_refused(tmp_path, columns, words):
    TABLE.assign(**columns).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(SurfaceError, match=words) as caught:
        read_vertex_data(tmp_path / "a.csv", N, "L")
    assert "a.csv" in str(caught.value)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", ["id", "vno", "Row", "row_id"])
def test_columns_that_number_all_rows_sort_them_where_their_names_allow_it(tmp_path, caplog, name, first):
    SHUFFLED.assign(**{name: SHUFFLED.index + first}).to_csv(tmp_path / "a.csv", index=False)
    with caplog.at_level(logging.WARNING, "cytomesh"):
        maps = read_vertex_data(tmp_path / "a.csv", N, "L")
    assert list(maps) == ["a"] and f"rows are sorted by column '{name}'" in caplog.messages[-1]
    np.testing.assert_allclose(maps["a"], VALUES)


def test_no_map_numbers_all_rows(tmp_path, caplog):
    TABLE.assign(roi=TABLE.index, id=3.0).to_csv(tmp_path / "a.csv", index=False)
    with caplog.at_level(logging.WARNING, "cytomesh"):
        assert list(read_vertex_data(tmp_path / "a.csv", N, "L")) == ["a", "id"]  # an id that numbers nothing is a map
    assert "column 'roi' only counts the rows" in caplog.messages[-1]
    SHUFFLED.assign(roi=SHUFFLED.index + 1).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(SurfaceError, match="column 'roi': found each of the numbers 1 to 12 once.*'vertex'"):
        read_vertex_data(tmp_path / "a.csv", N, "L")


def gifti(path, *arrays):
    image = GiftiImage()
    for values, intent in arrays:
        image.add_gifti_data_array(GiftiDataArray(np.asarray(values), intent=f"NIFTI_INTENT_{intent}"))
    nib.save(image, path)
    return path


def test_gifti_arrays_that_are_no_maps(tmp_path):
    order = SHUFFLED.index.to_numpy(np.int32)
    values = VALUES[order].astype(np.float32)
    path = gifti(tmp_path / "a.func.gii", (values[:, None], "NONE"), (order, "NODE_INDEX"))
    ((name, found),) = read_vertex_data(path, N, "L").items()
    assert name == "a"
    np.testing.assert_allclose(found, VALUES, rtol=1e-6)
    gifti(path, (values, "NONE"), (order * 2, "NODE_INDEX"))
    with pytest.raises(SurfaceError, match="NODE_INDEX"):
        read_vertex_data(path, N, "L")
    for intent in ("LABEL", "POINTSET"):
        gifti(path, (order, intent))
        with pytest.raises(SurfaceError, match=rf"a\.func\.gii: found arrays of intent {intent}"):
            read_vertex_data(path, N, "L")
