from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cytomesh.classify.area_fields import at_places
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.models import fit_classifier, load_state, make_classifier, save_state
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.prior import MOVED_DEG, RegisteredPrior, folds, moved
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.core.learning import macro_f1
from cytomesh.register.spherical import exponential, tangent

K = 6
CENTRES = np.random.default_rng(1).normal(size=(K, 3))
CPU = torch.device("cpu")


def area_of(places):
    return (places @ (CENTRES / np.linalg.norm(CENTRES, axis=1, keepdims=True)).T).argmax(axis=1)


def brains(n=3, nodes=1500, off_deg=6.0, noise=1.0, seed=0, test=True):
    """Brains whose areas lie where registration says, but for `off_deg` along one axis each; the last one is tested."""
    random = np.random.default_rng(seed)
    places = random.normal(size=(n, nodes, 3))
    places /= np.linalg.norm(places, axis=2, keepdims=True)
    turns = np.radians(off_deg) * np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    targets = np.stack(
        [area_of(exponential(p, tangent(p, np.tile(t, (nodes, 1))))) for p, t in zip(places, turns[:n], strict=True)]
    )
    codes = np.random.default_rng(2).normal(size=(K, 5))
    inputs = codes[targets] + noise * random.normal(size=(n, nodes, 5))
    sides = np.full((n, nodes), "train", "<U10")
    if test:
        sides[-1] = "test"
    total = n * nodes
    return NodeData(
        inputs.reshape(total, 5).astype(np.float32), targets.ravel().astype(np.int64), sides.ravel(),
        sp.csr_matrix((total, total)), np.full(n, nodes), np.arange(1, K + 1, dtype=np.int32),
        np.zeros((total, 3), np.float32), brains=np.repeat(np.arange(n), nodes),
        places=places.reshape(total, 3).astype(np.float32),
    )  # fmt: skip


def settings(*changes):
    base = ["model={kind: lda}", "prior.registration=folding", *changes]
    return load_config(ClassifyConfig, None, base)


def fitted(data, *changes):
    model, _ = fit_classifier(settings(*changes), data, 0, CPU)
    return model


def score(model, data):
    rows = data.evaluated("test")
    return macro_f1(data.targets[rows], model.probabilities(data)[rows].argmax(axis=1))


def prior_score(data, sd_deg=None):
    return score(fitted(data, "prior.image_weight=0", *([f"prior.sd_deg={sd_deg}"] if sd_deg else [])), data)


def test_a_brains_own_labels_are_not_read_for_itself():
    data = brains()
    before = RegisteredPrior(data, 2.0).by_others
    first = np.arange(1500)
    targets = data.targets.copy()
    targets[first] = np.random.default_rng(0).permutation(targets[first])
    after = RegisteredPrior(replace(data, targets=targets), 2.0).by_others
    np.testing.assert_array_equal(after[first], before[first])
    assert np.abs(after[1500:3000] - before[1500:3000]).max() > 0.3  # but for the other brain


def test_labels_of_the_test_side_are_not_read():
    data = brains()
    targets = np.where(data.sides == "test", (data.targets + 1) % K, data.targets)
    one, other = fitted(data), fitted(replace(data, targets=targets))
    assert one.weight == other.weight
    assert one.sd_deg == other.sd_deg
    np.testing.assert_array_equal(one.probabilities(data), other.probabilities(data))


@pytest.mark.parametrize(("off_deg", "expected"), [(0.0, 1.0), (12.0, 6.0)])
def test_width_follows_how_far_brains_differ(off_deg, expected):
    assert RegisteredPrior(brains(off_deg=off_deg, nodes=6000), None).sd_deg == expected


@pytest.mark.parametrize("changes", [[], ["model={kind: knn, neighbours: 1}"]])
def test_images_that_say_nothing_do_no_harm(changes):
    data = brains(noise=1000.0)
    model = fitted(data, *changes)
    assert score(model, data) == pytest.approx(prior_score(data), abs=0.01)
    if changes:  # a model that is sure of what it says
        assert model.weight == 0


def test_images_that_say_much_are_followed():
    data = brains(noise=0.5, off_deg=12)
    model = fitted(data)
    assert model.weight >= 0.5
    image = score(fit_classifier(load_config(ClassifyConfig, None, ["model={kind: lda}"]), data, 0, CPU)[0], data)
    assert score(model, data) > max(image, prior_score(data)) + 0.005


def test_as_an_input():
    data = brains(noise=1.0, off_deg=12)
    without = score(fit_classifier(load_config(ClassifyConfig, None, ["model={kind: lda}"]), data, 0, CPU)[0], data)
    model = fitted(data, "inputs.names=[features, prior]", "prior.vote=false")
    assert score(model, data) > without + 0.02


def test_a_brain_that_is_tried_is_read_nowhere():
    data = brains(nodes=600)
    targets = data.targets.copy()
    targets[:600] = np.random.default_rng(0).permutation(targets[:600])
    one, other = RegisteredPrior(data, 2.0), RegisteredPrior(replace(data, targets=targets), 2.0)
    np.testing.assert_array_equal(one.in_fold(0), other.in_fold(0))
    assert np.abs(one.by_others - other.by_others).max() > 0.3
    np.testing.assert_array_equal(one.in_fold(0)[:600], one.by_others[:600])


def test_as_an_input_and_voting():
    data = brains(noise=1.5, off_deg=12)
    model = fitted(data, "inputs.names=[features, prior]")
    assert model.weight > 0
    assert score(model, data) > prior_score(data) + 0.02


def test_stored_and_read_again(tmp_path):
    data = brains(2)
    for number, changes in enumerate(([], ["inputs.names=[features, prior]"])):
        model = fitted(data, *changes)
        save_state(tmp_path / f"{number}.safetensors", model.state())
        again = make_classifier(settings(*changes), 5, K, CPU)
        again.load(load_state(tmp_path / f"{number}.safetensors"))
        np.testing.assert_array_equal(again.probabilities(data), model.probabilities(data))


@pytest.mark.parametrize("kind", ["lda", "logistic"])
def test_brains_that_cannot_be_foreseen_are_passed_over(kind):
    data = brains(nodes=600)
    first, second = np.arange(1800) < 600, np.arange(1800) // 600 == 1
    one_area = np.where(first, 2, data.targets)
    assert [set(classes) for *_, classes in folds(replace(data, targets=one_area), data.brains)] == [set(range(K))]
    nothing_shared = np.where(first, data.targets % 3, np.where(second, 3 + data.targets % 3, data.targets))
    assert not list(folds(replace(data, targets=nothing_shared), data.brains))
    assert fitted(replace(data, targets=one_area), f"model={{kind: {kind}}}").probabilities(data).shape == (1800, K)
    assert fitted(replace(data, targets=nothing_shared), f"model={{kind: {kind}}}").weight == 1


def test_a_hemisphere_without_images_has_the_prior():
    data = brains(nodes=600)
    is_linked = data.sides == "train"
    found = fitted(data).probabilities(replace(data, is_linked=is_linked))
    prior = fitted(data, "prior.image_weight=0").probabilities(data)
    np.testing.assert_allclose(found[~is_linked], prior[~is_linked], atol=1e-6)
    assert np.abs(found[is_linked] - prior[is_linked]).max() > 0.3


def test_folds_leave_out_what_others_lack():
    data = brains()
    targets = data.targets.copy()
    targets[1500:] = np.where(targets[1500:] == 2, 3, targets[1500:])  # area 2 is in the first brain only
    data = replace(data, targets=targets)
    rows, fold, classes = next(folds(data, data.brains))
    assert classes.tolist() == [0, 1, 3, 4, 5]
    assert set(rows.tolist()) == set(np.flatnonzero(targets[:1500] != 2).tolist())
    assert not (fold.sides[:1500] == "train").any()
    np.testing.assert_array_equal(fold.classes[fold.targets[rows]], data.classes[targets[rows]])
    assert fitted(data).probabilities(data).shape == (4500, K)  # and a model is fitted with them


def test_a_lone_hemisphere_is_tried_on_itself_moved():
    data = brains(2)
    prior = RegisteredPrior(data, None)
    own = data.sides == "train"
    assert (prior.folds()[~own] == -1).all()
    assert np.unique(prior.folds()[own]).size == 6
    moved_a_little, itself = (
        (named[own].argmax(axis=1) == data.targets[own]).mean()
        for named in (prior.by_others, at_places(prior.field, data.places))
    )
    assert 0.8 < moved_a_little < itself - 0.005
    assert 0 <= fitted(data).weight <= 5


def test_moved_by_as_much_as_is_said_and_smoothly():
    places = brains(1, test=False).places
    away = np.degrees(np.arccos(np.clip((moved(places).astype(float) * places).sum(axis=1), -1, 1)))
    assert np.sqrt((away**2).mean()) == pytest.approx(MOVED_DEG, rel=0.1)
    near = exponential(places.astype(float), tangent(places, np.tile([0.0, 0, np.radians(0.5)], (len(places), 1))))
    difference = (moved(near.astype(np.float32)) - near) - (moved(places) - places)
    assert np.degrees(np.linalg.norm(difference, axis=1)).mean() < 0.15 * MOVED_DEG


def test_what_cannot_be():
    with pytest.raises(ConfigError, match=r"prior\.registration"):
        load_config(ClassifyConfig, None, ["inputs.names=[features, prior]"])
    with pytest.raises(ConfigError, match="beside"):
        settings("inputs.names=[prior]")
    with pytest.raises(ConfigError, match="one of 1, 2, 3, 4, 6"):
        settings("prior.sd_deg=2.5")
    with pytest.raises(ConfigError, match="registered sphere"):
        fitted(replace(brains(2), places=None))
