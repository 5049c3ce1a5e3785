import numpy as np

from cytomesh.classify.inputs import InputsConfig
from cytomesh.classify.out_of_core import Column
from cytomesh.classify.prepare import context_column, fill_in, moments
from cytomesh.graph.neighbourhoods import impute, neighbour_means


def test_moments_are_those_of_the_chosen_rows():
    random = np.random.default_rng(0)
    values = [random.normal(3, 2, size=(n, 4)).astype(np.float32) for n in (50, 30)]
    chosen = [random.random(len(v)) > 0.4 for v in values]
    rows = np.concatenate([v[c] for v, c in zip(values, chosen, strict=True)]).astype(np.float64)
    found = moments([Column(v) for v in values], chosen, "features")
    np.testing.assert_allclose(found, [rows.mean(axis=0), rows.std(axis=0)], rtol=1e-6)


def test_filled_in_as_on_the_whole_graph(synthetic):
    graph = synthetic.graph()
    values = synthetic.features(graph)
    is_known = np.isfinite(values).all(axis=1)
    expected, n_unreachable = impute(values, graph.adjacency)
    column, n = fill_in(Column(values), is_known, graph, "features:cnn", None)
    np.testing.assert_array_equal(column.rows(np.arange(graph.n_nodes)), expected)
    assert n == n_unreachable == 0
    assert not np.isnan(expected).any()


def test_neighbourhood_means_by_columns(synthetic):
    graph = synthetic.graph()
    values = synthetic.features(graph)
    is_known = np.isfinite(values).all(axis=1)
    found = context_column(Column(values), is_known, graph, [0, 2], InputsConfig(), "features:cnn", None)
    expected = neighbour_means(values, is_known, graph.adjacency, [0, 2], "walk")
    np.testing.assert_array_equal(found.source, expected)
