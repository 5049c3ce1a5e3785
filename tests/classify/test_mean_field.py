from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import dijkstra

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.linear import LdaClassifier, LdaModel
from cytomesh.classify.mean_field import (
    LEAST_RATIO,
    PRIOR_NODES,
    STEPS,
    WEIGHTS,
    CrfConfig,
    MeanFieldCrf,
    match_proportions,
)
from cytomesh.classify.models import load_state, make_classifier, save_state
from cytomesh.classify.nodes import NodeData
from cytomesh.core.config import load_config
from cytomesh.core.learning import macro_f1

K = 4


def strip(n, width=3):
    """A flat strip of n x width nodes in a grid with one diagonal a cell."""
    index = np.arange(n * width).reshape(n, width)
    pairs = np.concatenate(
        [
            np.stack([a.ravel(), b.ravel()], 1)
            for a, b in (
                (index[:-1], index[1:]), (index[:, :-1], index[:, 1:]), (index[:-1, :-1], index[1:, 1:]),
            )
        ]
    )  # fmt: skip
    edges = sp.coo_matrix((np.ones(len(pairs)), tuple(pairs.T)), shape=(n * width,) * 2).tocsr()
    return (edges + edges.T).tocsr().astype(np.float32)


def two_strips(noise=1.5, seed=0):
    """A training strip and a test strip, each with the areas 0, 1, 2, 3 in a row; 1 and 3 look alike."""
    random = np.random.default_rng(seed)
    column = np.repeat(np.arange(48), 3)
    targets = np.concatenate([column // 12, column // 12])
    codes = np.array([[2.0, 0, 0], [0, 2, 0], [0, 0, 2], [0, 2.0, 0.1]])
    inputs = (codes[targets] + noise * random.normal(size=(len(targets), 3))).astype(np.float32)
    half = len(column)
    sides = np.array(["train"] * half + ["test"] * half)
    adjacency = sp.block_diag([strip(48), strip(48)], format="csr").astype(np.float32)
    is_linked = np.ones(2 * half, bool)
    is_linked[half + 5] = False
    return NodeData(
        inputs, targets, sides, adjacency, np.array([half, half]), np.arange(1, K + 1, dtype=np.int32),
        np.zeros((2 * half, 3), np.float32), is_linked=is_linked,
    )  # fmt: skip


def arranged(hops=(1, 3, 6), weight=6.0, *, keep_shares=False):
    model = LdaClassifier(LdaModel(kind="lda"))
    return MeanFieldCrf(model, CrfConfig(hops=list(hops), weight=weight), keep_shares=keep_shares)


def reference(probabilities, data, hops, weight):
    """The docstring's formula, node by node and pair by pair."""
    n = len(probabilities)
    distance = dijkstra(data.adjacency, unweighted=True)
    train = data.sides == "train"
    shares = np.bincount(data.targets[train], minlength=K) / train.sum()
    ratios = np.zeros((len(hops), K, K))
    for h, hop in enumerate(hops):
        for a in range(K):
            members = np.flatnonzero(train & (data.targets == a))
            total = PRIOR_NODES * shares
            for i in members:
                around = np.flatnonzero((distance[i] <= hop) & train)
                total = total + np.bincount(data.targets[around], minlength=K) / len(around)
            ratios[h, a] = total / (len(members) + PRIOR_NODES) / shares
    q = probabilities.astype(np.float64)
    for _ in range(STEPS):
        new = np.empty_like(q)
        for i in range(n):
            vote = np.zeros(K)
            for h, hop in enumerate(hops):
                around = np.flatnonzero((distance[i] <= hop) & data.is_linked)
                mean = q[around].mean(axis=0)
                for a in range(K):
                    vote[a] += (mean * np.log(ratios[h, a] + LEAST_RATIO)).sum()
            new[i] = probabilities[i] * np.exp(weight * vote)
        q = new / new.sum(axis=1, keepdims=True)
    return q


def test_the_mean_field_is_that_of_the_formula():
    data = two_strips()
    model = arranged(hops=(1, 4), weight=2.0)
    model.fit(data, 0)
    alone = model.model.probabilities(data)
    np.testing.assert_allclose(model.probabilities(data), reference(alone, data, (1, 4), 2.0), atol=1e-5)


def test_areas_that_look_alike_are_told_apart_by_what_lies_around():
    data = two_strips()
    model = arranged()
    model.fit(data, 0)
    test = data.sides == "test"
    alone = model.model.probabilities(data).argmax(axis=1) == data.targets
    together = model.probabilities(data).argmax(axis=1) == data.targets
    assert alone[test].mean() < 0.7
    assert together[test].mean() > alone[test].mean() + 0.1


def test_an_open_weight_is_chosen_on_validation_nodes():
    data = two_strips()
    half = len(data.sides) // 2
    sides = np.where(np.arange(2 * half) < half, "train", np.where(np.arange(2 * half) % 2, "validation", "test"))
    data = replace(data, sides=sides)
    model = MeanFieldCrf(LdaClassifier(LdaModel(kind="lda")), CrfConfig(hops=[1, 3, 6]), keep_shares=False)
    model.fit(data, 0)
    scores = {}
    for weight in WEIGHTS:
        given = arranged(weight=weight)
        given.fit(data, 0)
        rows = sides == "validation"
        scores[weight] = macro_f1(data.targets[rows], given.probabilities(data)[rows].argmax(axis=1))
    assert model.weight == max(WEIGHTS, key=scores.__getitem__)
    assert scores[model.weight] > scores[0.0]


def test_labels_outside_the_training_side_are_not_read():
    data = two_strips()
    hidden = replace(data, targets=np.where(data.sides == "train", data.targets, -1))
    found = []
    for given in (data, hidden):
        model = arranged(keep_shares=True)
        model.fit(given, 0)
        found.append(model.probabilities(given))
    np.testing.assert_array_equal(*found)


def test_shares_hold_for_the_linked_nodes_of_graphs_without_training_nodes():
    data = two_strips()
    model = arranged(keep_shares=True)
    model.fit(data, 0)
    found = data.graphs(model.probabilities(data))[1][data.graphs(data.is_linked)[1]]
    np.testing.assert_allclose(found.mean(axis=0), 0.25, atol=5e-3)  # steps are limited
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("overrides", [["crf.hops=[1, 3]"], ["label_shift=training"]])
def test_a_saved_model_names_the_same_areas(tmp_path, overrides):
    data = two_strips()
    settings = load_config(ClassifyConfig, None, ["model.kind=lda", *overrides])
    models = [make_classifier(settings, 3, K, torch.device("cpu")) for _ in range(2)]
    models[0].fit(data, 0)
    save_state(tmp_path / "model.safetensors", models[0].state())
    models[1].load(load_state(tmp_path / "model.safetensors"))
    found = [model.probabilities(data) for model in models]
    np.testing.assert_array_equal(*(p.argmax(axis=1) for p in found))
    # weights are kept in single precision, and where two arrangements are nearly as good the field magnifies that
    np.testing.assert_allclose(*found, atol=1e-3)


def test_shares_are_met_and_odds_change_by_class_only():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), 500).astype(np.float32)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    rows = np.arange(500) < 400
    matched = match_proportions(probabilities, shares, rows)
    np.testing.assert_allclose(matched[rows].mean(axis=0), shares, atol=1e-4)
    np.testing.assert_allclose(matched.sum(axis=1), 1, rtol=1e-5)
    # p_ia / p_ib times a factor that is the same at all nodes, those outside the rows among them
    factor = (matched[:, 0] / matched[:, 1]) / (probabilities[:, 0] / probabilities[:, 1])
    np.testing.assert_allclose(factor, factor[0], rtol=1e-3)


def test_nothing_changes_where_shares_hold_already():
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    matched = match_proportions(probabilities, np.array([0.5, 0.5]), np.ones(2, bool))
    np.testing.assert_allclose(matched, probabilities, atol=1e-6)


def test_a_class_that_is_never_preferred_gets_its_share():
    probabilities = np.stack([np.full(100, 0.98), np.linspace(0.001, 0.02, 100)], axis=1).astype(np.float32)
    matched = match_proportions(probabilities, np.array([0.75, 0.25]), np.ones(100, bool))
    assert abs(matched[:, 1].mean() - 0.25) < 0.01
    assert matched[-1, 1] > matched[0, 1]
