"""Columns and features that drive a registration: comparable between brains, without holes, weighted."""

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError
from cytomesh.core.tables import Table
from cytomesh.register.config import Driver
from cytomesh.register.drivers import driver_values
from tests.register.runs import brain, write_run


@pytest.fixture
def run(tmp_path):
    graphs = [brain("B01"), brain("B02", seed=1)]
    return write_run(tmp_path, *graphs), graphs


def with_column(graph, name, values):
    return replace(graph, nodes=Table({**graph.nodes.columns, name: values}))


def test_columns_are_standardised_in_each_brain(run):
    folder, (one, other) = run
    scaled = with_column(other, "myelin", 40.0 + 7.0 * np.asarray(one.nodes["myelin"]))
    values, weights = driver_values(folder, [one, scaled], [Driver(name="myelin", weight=2.0)])
    np.testing.assert_allclose(values[0], values[1], atol=1e-5)
    np.testing.assert_allclose([values[0].mean(), values[0].std()], [0.0, 1.0], atol=1e-5)
    assert values[0].shape == (642, 1)
    assert weights == [2.0]


def test_nodes_without_a_value_get_that_of_those_around_them(run):
    folder, (one, _) = run
    column = np.asarray(one.nodes["myelin"]).copy()
    column[100] = np.nan
    values, _ = driver_values(folder, [with_column(one, "myelin", column)], [Driver(name="myelin")])
    around = one.adjacency[100].indices
    assert values[0][100, 0] == pytest.approx(values[0][around, 0].mean(), abs=1e-5)


def test_features_become_components_that_share_a_weight(run):
    """The features are mixtures of three patterns: three components say it all, two almost."""
    folder, graphs = run
    drivers = [Driver(name="features:vit", components=3, weight=1.5), Driver(name="myelin")]
    values, weights = driver_values(folder, graphs, drivers)
    assert weights == [0.5, 0.5, 0.5, 1.0]
    assert [part.shape for part in values] == [(642, 4), (642, 4)]
    everything, _ = driver_values(folder, graphs, [Driver(name="features:vit", components=12)])
    together, components = np.concatenate(everything), np.concatenate(values)[:, :3]
    assert together.shape == (1284, 12)
    # by eigenvectors of the covariance of all brains together
    sizes, axes = np.linalg.eigh(together.T @ together)
    expected = together @ axes[:, ::-1][:, :3]
    for column in range(3):
        assert abs(np.corrcoef(components[:, column], expected[:, column])[0, 1]) == pytest.approx(1.0, abs=1e-4)
    assert (components**2).sum() == pytest.approx(sizes.sum(), rel=1e-3)


def test_columns_that_are_not_there_or_no_numbers(run):
    folder, graphs = run
    for name in ("colour", "section_role"):
        with pytest.raises(ConfigError, match=f"drivers: {name}: found no column of numbers in B01_hemi-L.*myelin"):
            driver_values(folder, graphs, [Driver(name=name)])


def test_columns_without_a_value(run):
    folder, (one, other) = run
    with pytest.raises(FeatureError, match="B02_hemi-L: myelin: found no node with finite values"):
        driver_values(folder, [one, with_column(other, "myelin", np.full(642, np.nan))], [Driver(name="myelin")])


def test_features_that_are_not_there(run):
    folder, graphs = run
    with pytest.raises(MissingStageError, match="resnet"):
        driver_values(folder, graphs, [Driver(name="features:resnet")])
