import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cytomesh.core.errors import AtlasError, GraphError, MissingStageError
from cytomesh.core.tables import Table
from cytomesh.graph.storage import CortexGraph, graph_folder, load_graphs, load_surface, save_graph
from tests.conftest import sphere_graph


@pytest.fixture
def graph() -> CortexGraph:
    return sphere_graph(subdivisions=2)


def test_graph_round_trip(tmp_path, graph):
    save_graph(tmp_path, graph, {"pial": graph.mesh, "white": graph.mesh}, {"euler": 2})
    (back,) = load_graphs(tmp_path)
    assert (back.name, back.brain_role, back.labels.names) == ("B01_hemi-L", "train", graph.labels.names)
    assert back.digest == graph.digest
    np.testing.assert_array_equal(back.annotation, graph.annotation)
    np.testing.assert_array_equal(back.section_role, graph.section_role)
    np.testing.assert_array_equal(back.edge_index, graph.edge_index)
    assert back.edge_index.dtype == np.int64
    assert back.nodes.units["x_mm"] == "mm"
    assert load_surface(tmp_path, back.name, "pial").n_vertices == graph.n_nodes


def test_a_graph_without_its_last_file_is_not_there(tmp_path, graph):
    save_graph(tmp_path, graph, {}, {})
    (graph_folder(tmp_path, graph.name) / "qc.json").unlink()
    with pytest.raises(MissingStageError, match="build-graph"):
        load_graphs(tmp_path)


def test_rows_and_labels_must_fit(graph):
    short = Table({name: column[:-1] for name, column in graph.nodes.columns.items()})
    with pytest.raises(GraphError, match="one row per vertex"):
        CortexGraph("B", "L", "train", graph.mesh, short, graph.labels)
    columns = {**graph.nodes.columns, "annotation": np.full(graph.n_nodes, 99, np.int32)}
    with pytest.raises(AtlasError, match="99"):
        CortexGraph("B", "L", "train", graph.mesh, Table(columns), graph.labels)


def test_a_table_written_again_by_pandas_is_named(tmp_path, graph):
    save_graph(tmp_path, graph, {}, {})
    path = graph_folder(tmp_path, graph.name) / "nodes.parquet"
    pq.read_table(path).to_pandas().to_parquet(path)
    with pytest.raises(
        GraphError, match=r"nodes\.parquet: found no brain, hemisphere, brain_role .*by pandas.*build-graph"
    ):
        load_graphs(tmp_path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(GraphError, match="written again by another program"):
        load_graphs(tmp_path)


def test_rows_in_another_order_are_refused(tmp_path, graph):
    save_graph(tmp_path, graph, {}, {})
    path = graph_folder(tmp_path, graph.name) / "nodes.parquet"
    table = pq.read_table(path)
    order = np.arange(graph.n_nodes)
    order[[3, 8]] = 8, 3
    pq.write_table(table.take(pa.array(order)), path)
    apart = np.linalg.norm(graph.positions[3] - graph.positions[8])
    with pytest.raises(
        GraphError, match=rf"nodes\.parquet: row 3: found 2 of {graph.n_nodes} rows up to {apart:.1f} mm"
    ):
        load_graphs(tmp_path)
    pq.write_table(table.drop_columns(["x_mm"]), path)
    with pytest.raises(GraphError, match="nodes.parquet: found no x_mm"):
        load_graphs(tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("section", [10**12], "section from"),
        ("is_linked", ["yes"], "is_linked of type object"),
        ("column_px", [float("nan")], "column_px: found NaN or huge"),
        ("ref_x_mm", [1e308], "reference positions"),
        ("section_role", [None], "section_role without a word"),
    ],
)
def test_columns_of_another_kind_are_refused(tmp_path, graph, column, values, message):
    save_graph(tmp_path, graph, {}, {})
    path = graph_folder(tmp_path, graph.name) / "nodes.parquet"
    table = pq.read_table(path)
    array = pa.array(values * graph.n_nodes, None if values[0] is not None else pa.string())
    field = table.schema.field(column).with_type(array.type)
    pq.write_table(table.set_column(table.column_names.index(column), field, array), path)
    with pytest.raises(GraphError, match=rf"nodes\.parquet.*{message}.*build-graph STUDY"):
        load_graphs(tmp_path)
