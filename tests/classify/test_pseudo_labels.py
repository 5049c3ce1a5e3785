from dataclasses import replace

import numpy as np
import pytest

from cytomesh.classify.assemble import assemble
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.linear import LdaClassifier, LdaModel
from cytomesh.classify.pseudo_labels import PseudoLabelsConfig, SelfTrained, with_pseudo_labels
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.files import read_json
from cytomesh.graph.storage import load_graphs


@pytest.fixture
def data(section_run):
    graphs = load_graphs(section_run)
    return assemble(section_run, graphs, [graph.annotation for graph in graphs], ClassifyConfig())[0]


def test_only_nodes_that_may_be_learnt_from(data, section_run):
    graphs = load_graphs(section_run)
    sure = np.zeros((len(data.targets), 6), np.float32)
    sure[:, 2] = 1
    labelled = with_pseudo_labels(data, sure, 0.9)
    changed = (labelled.targets != data.targets) | (labelled.sides != data.sides)
    for graph, here, side in zip(graphs, data.graphs(changed), data.graphs(data.sides), strict=True):
        assert not here[~graph.is_linked].any()
        if graph.brain_role == "transfer":
            assert here[side == "transfer"].all()
        else:
            assert not here[side != ""].any()
    assert (labelled.sides[changed] == "train").all()
    assert (labelled.targets[changed] == 2).all()
    assert with_pseudo_labels(data, np.full_like(sure, 1 / 6), 0.9).is_train.sum() == data.is_train.sum()


def test_a_round_by_hand_and_labels_of_the_transfer_brain_unread(data):
    model = SelfTrained(LdaClassifier(LdaModel(kind="lda")), PseudoLabelsConfig(rounds=1, threshold=0.6))
    model.fit(data, 0)
    by_hand = LdaClassifier(LdaModel(kind="lda"))
    by_hand.fit(data, 0)
    by_hand.fit(with_pseudo_labels(data, by_hand.probabilities(data), 0.6), 0)
    np.testing.assert_array_equal(model.probabilities(data), by_hand.probabilities(data))
    first = LdaClassifier(LdaModel(kind="lda"))
    first.fit(data, 0)
    assert (first.probabilities(data) != model.probabilities(data)).any()
    hidden = replace(data, targets=np.where(data.is_train | data.is_validation, data.targets, 0))
    again = SelfTrained(LdaClassifier(LdaModel(kind="lda")), PseudoLabelsConfig(rounds=1, threshold=0.6))
    again.fit(hidden, 0)
    np.testing.assert_array_equal(again.probabilities(data), model.probabilities(data))


def test_rounds_from_settings(section_run):
    settings = load_config(
        ClassifyConfig,
        None,
        ["model={kind: mlp, hidden: 16}", "training={epochs: 5}", "n_seeds=1", "pseudo_labels={rounds: 2}"],
    )
    classify_run(section_run, "rounds", settings)
    curve = read_json(section_run / "classify" / "rounds" / "metrics.json")["curves"][0]["epochs"]
    assert [record["epoch"] for record in curve] == list(range(1, 16))
