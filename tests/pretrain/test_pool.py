"""Which patches take part, and which labels: none of a test section, none of another brain."""

from __future__ import annotations

import numpy as np
import pytest
from pretrain_study import write_run

from cytomesh.core.errors import MissingStageError
from cytomesh.core.run import read_study_path
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain.pool import build_pool
from cytomesh.study.study import open_study


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("pool"))
    return open_study(read_study_path(run)), load_graphs(run)


def test_rows_are_the_linked_nodes_of_the_chosen_brains(opened):
    study, graphs = opened
    pool = build_pool(study, graphs, ("train", "transfer"))
    chosen = [graph for graph in graphs if graph.brain_role != "unseen"]
    assert len(pool) == sum(int(graph.is_linked.sum()) for graph in chosen)
    assert np.allclose(pool.position, np.concatenate([graph.reference[graph.is_linked] for graph in chosen]))
    assert pool.probability.shape == (len(pool), 4)
    assert sorted(np.concatenate([part.rows for part in pool.sections])) == list(range(len(pool)))
    for number, part in enumerate(pool.sections):
        assert (pool.section[part.rows] == number).all()


def test_labels_come_from_training_sections_of_training_brains(opened):
    study, graphs = opened
    pool = build_pool(study, graphs, ("train", "transfer", "unseen"))
    first = graphs[0]
    is_first = pool.brain == 0
    roles = first.section_role[first.is_linked]
    assert (pool.annotation[is_first][roles == "train"] > 0).all()
    assert (roles == "test").any()
    assert not pool.annotation[is_first][roles == "test"].any()
    assert not pool.annotation[~is_first].any()


def test_batch_carries_everything(opened):
    pool = build_pool(*opened, ("train",))
    rows = np.array([5, 0, 5])
    batch = pool.batch(rows)
    assert batch.node.tolist() == [5, 0, 5]
    assert np.allclose(batch.position.numpy(), pool.position[rows], atol=1e-4)
    assert np.array_equal(batch.probability.numpy(), pool.probability[rows].toarray())


def test_no_brain_with_the_role_is_an_error(opened):
    study, graphs = opened
    with pytest.raises(MissingStageError, match="transfer"):
        build_pool(study, graphs[:1], ("transfer",))
