from dataclasses import replace

import numpy as np

from cytomesh.core.tables import Table
from cytomesh.graph.storage import load_graphs
from cytomesh.report.maps import (
    NO_CORTEX,
    ScalarMap,
    annotation_map,
    filled_annotation,
    first_title,
    thickness_map,
    with_values,
)
from tests.conftest import sphere_graph


def test_cut_faces_are_told_from_what_is_not_annotated(run):
    graph = load_graphs(run)[0]
    assert annotation_map(graph).table is graph.labels
    is_cortex = np.arange(graph.n_nodes) > 9
    columns = {**graph.nodes.columns, "is_cortex": is_cortex, "annotation": np.where(is_cortex, graph.annotation, 0)}
    shown = annotation_map(replace(graph, nodes=Table(columns)))
    outside = shown.table.index(NO_CORTEX)
    assert ((shown.values == outside) == ~is_cortex).all()
    assert (shown.values[is_cortex] == graph.annotation[is_cortex]).all()


def test_maps_without_values_are_neither_shown_nor_offered(run, caplog):
    graph = load_graphs(run)[0]
    bare = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": np.zeros(graph.n_nodes, np.int32)}))
    maps = {"a": [annotation_map(bare), ScalarMap("s", "g", np.full(3, np.nan), ""), thickness_map(graph)]}
    with caplog.at_level("INFO", "cytomesh"):
        assert [item.title for item in with_values(maps)["a"]] == ["cortical thickness"]
    assert caplog.messages == ["left out, as no node has a value: 2 maps (annotation, s)"]
    assert first_title(maps, ("annotation", "cortical thickness")) == "cortical thickness"
    both = with_values({**maps, "b": [annotation_map(graph)]})
    assert [item.title for item in both["a"]] == ["annotation", "cortical thickness"]


def test_between_annotated_sections_areas_are_pale_and_not_grey():
    graph = sphere_graph()
    annotated = [3, 6, 9]  # of 12
    sparse = np.where(np.isin(graph.section, annotated), graph.annotation, 0)
    own = np.isin(graph.section, annotated)
    gap = own & (graph.positions[:, 2] > 45)  # a hole in an annotated section is nobody's
    sparse[gap] = 0
    shown = annotation_map(replace(graph, nodes=Table({**graph.nodes.columns, "annotation": sparse})))
    is_between = np.isin(graph.section, [4, 5, 7, 8])
    assert (shown.is_pale == is_between).all()
    assert (shown.values[own] == sparse[own]).all()
    assert (shown.values[~own & ~is_between] == 0).all()
    # of the nearest annotated node by edges of the mesh
    from scipy.sparse.csgraph import shortest_path

    hops = shortest_path(graph.adjacency, unweighted=True, indices=np.flatnonzero(sparse))
    least = hops.min(axis=0)
    for node in np.flatnonzero(is_between):
        nearest = np.flatnonzero(hops[:, node] == least[node])
        assert shown.values[node] in sparse[np.flatnonzero(sparse)[nearest]]


def test_full_and_missing_annotations_stay_as_they_are():
    graph = sphere_graph()
    assert (filled_annotation(graph) == graph.annotation).all()
    assert annotation_map(graph).is_pale is None
    none = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": np.zeros(graph.n_nodes, np.int32)}))
    assert not filled_annotation(none).any()
