"""A run of four small brains whose features know of areas, of thickness, and of the brain."""

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.task import Bench
from cytomesh.core.tables import Table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import load_graphs, save_graph
from tests.conftest import sphere_graph

ROLES = {"B01": "train", "B02": "train", "B03": "transfer", "B04": "unseen"}


def write_features(run, name, strength):
    """Areas as directions of 8 dimensions, with noise, and the number of the brain as a further one."""
    centres = np.random.default_rng(5).normal(size=(7, 8))
    for number, graph in enumerate(load_graphs(run)):
        random = np.random.default_rng(number)
        features = strength * centres[graph.annotation] + random.normal(size=(graph.n_nodes, 8))
        features = np.column_stack(
            [features, graph.nodes["thickness_mm"], number + 0.3 * random.normal(size=len(features))]
        )
        features[~graph.is_linked] = np.nan
        save_features(run, name, graph, features.astype(np.float32), {})


@pytest.fixture(scope="session")
def four_brains(tmp_path_factory):
    """The run; to be copied before it is changed."""
    run = tmp_path_factory.mktemp("four") / "run"
    for number, (brain, role) in enumerate(ROLES.items()):
        graph = sphere_graph(brain, role=role)
        random = np.random.default_rng(10 + number)
        columns = {"thickness_mm": 2.5 + 0.3 * random.normal(size=graph.n_nodes)}
        columns["stain"] = np.where(graph.section % 2 == 0, "Nissl", "Merker")
        graph = replace(graph, nodes=Table({**graph.nodes.columns, **columns}))
        save_graph(run, graph, {"sphere": graph.mesh}, {})
    write_features(run, "good", 2.0)
    write_features(run, "poor", 0.4)
    return run


@pytest.fixture
def bench(four_brains):
    """Return a bench on the run, with settings."""

    def make(**given):
        return Bench(four_brains, load_graphs(four_brains), EvaluateConfig.model_validate(given))

    return make
