import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from cytomesh.core.errors import MissingStageError
from cytomesh.core.tables import Table, read_table, write_table


def test_round_trip_with_units_metadata_and_sparse(tmp_path):
    pmap = sp.random(20, 7, density=0.3, format="csr", random_state=0, dtype=np.float32)
    columns = {
        "x_mm": np.linspace(0, 1, 20),
        "n": np.arange(20, dtype=np.int32),
        "ok": np.arange(20) % 2 == 0,
        "pmap": pmap,
    }
    columns["why"] = np.array(["", "far"] * 10)
    path = tmp_path / "t.parquet"
    write_table(path, Table(columns, {"x_mm": "mm"}, {"brain": "B01"}))
    back = read_table(path)
    assert set(back.columns) == set(columns)
    assert back.metadata == {"brain": "B01"}
    assert back.units == {"x_mm": "mm"}
    for name in ("x_mm", "n", "ok", "why"):
        np.testing.assert_array_equal(back[name], columns[name])
    assert back["n"].dtype == np.int32
    np.testing.assert_array_equal(back["pmap"].toarray(), pmap.toarray())


def test_sparse_columns_are_plain_lists_for_other_readers(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, Table({"pmap": sp.csr_matrix(np.array([[0, 0.5], [0, 0]]))}))
    data = pq.read_table(path).to_pydict()
    assert data == {"pmap_index": [[1], []], "pmap_value": [[0.5], []]}


def test_missing_table(tmp_path):
    with pytest.raises(MissingStageError, match=r"nodes\.parquet"):
        read_table(tmp_path / "nodes.parquet")
