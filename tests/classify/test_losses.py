import math

import numpy as np
import pytest
import torch

from cytomesh.classify.assemble import assemble
from cytomesh.classify.kinds import LOSSES
from cytomesh.classify.losses import Focal, FocalConfig, LogitAdjustmentConfig, NodeLoss, training_targets
from cytomesh.classify.training import TrainingConfig
from cytomesh.core.errors import FeatureError

K = 3
COUNTS = [50.0, 9.0, 1.0]
SETTINGS = [
    {},
    {"loss": FocalConfig(kind="focal", gamma=2.0)},
    {"loss": LogitAdjustmentConfig(kind="logit_adjustment", tau=1.5)},
]


def loss_by_loops(logits, targets, settings):
    """The formulas, term by term; targets are distributions."""
    inverse = [n**-settings.balance for n in COUNTS]
    mean = sum(n * w for n, w in zip(COUNTS, inverse, strict=True)) / sum(COUNTS)
    total = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        if settings.loss.kind == "logit_adjustment":
            row = [z + settings.loss.tau * math.log(n / sum(COUNTS)) for z, n in zip(row, COUNTS, strict=True)]
        norm = sum(math.exp(z) for z in row)
        for c in range(K):
            p = math.exp(row[c]) / norm
            q = (1 - settings.label_smoothing) * target[c] + settings.label_smoothing / K
            focus = (1 - p) ** settings.loss.gamma if settings.loss.kind == "focal" else 1.0
            total -= inverse[c] / mean * q * focus * math.log(p)
    return total


def node_loss(settings):
    loss = LOSSES[settings.loss.kind](settings.loss)
    return NodeLoss(loss, torch.tensor(COUNTS, dtype=torch.float64), settings.balance, settings.label_smoothing)


@pytest.mark.parametrize("loss", SETTINGS, ids=["cross-entropy", "focal", "logit adjustment"])
@pytest.mark.parametrize("is_soft", [False, True])
def test_losses_by_loops(loss, is_soft):
    settings = TrainingConfig(label_smoothing=0.1, balance=0.5, **loss)
    torch.manual_seed(0)
    logits = torch.randn(20, K, dtype=torch.float64)
    labels = torch.randint(K, (20,))
    soft = torch.rand(20, K, dtype=torch.float64)
    soft = soft / soft.sum(1, keepdim=True) if is_soft else torch.eye(K, dtype=torch.float64)[labels]
    criterion = node_loss(settings)
    found = criterion(logits, soft if is_soft else labels)
    assert found.item() == pytest.approx(loss_by_loops(logits, soft, settings))
    weights = soft @ criterion.weights
    assert criterion.total(soft if is_soft else labels).item() == pytest.approx(weights.sum().item())


def test_focal_loss_at_certainty_is_finite():
    criterion = NodeLoss(Focal(FocalConfig(kind="focal", gamma=1.0)), torch.ones(K), 0.5, 0.05)
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 0.0, 200.0]], requires_grad=True)
    criterion(logits, torch.tensor([0, 1])).backward()
    assert torch.isfinite(logits.grad).all()


def test_soft_labels_are_mixed_with_the_maps(section_run, config):
    graphs, settings = config(section_run)
    data = assemble(section_run, graphs, [graph.annotation for graph in graphs], settings)[0]
    rows = np.flatnonzero(data.is_train)[:5]
    found = training_targets(data, rows, 0.25, torch.device("cpu")).numpy()
    for row, target in zip(rows, found, strict=True):
        maps = data.maps[row].toarray().ravel()
        expected = 0.25 * maps / maps.sum()
        expected[data.targets[row]] += 0.75
        np.testing.assert_allclose(target, expected, rtol=1e-5)
    np.testing.assert_array_equal(training_targets(data, rows, 0.0, torch.device("cpu")), data.targets[rows])


def test_soft_labels_without_maps(synthetic, tmp_path, config):
    synthetic.save(tmp_path, synthetic.graph(with_pmap=False))
    graphs, settings = config(tmp_path)
    data = assemble(tmp_path, graphs, [graph.annotation for graph in graphs], settings)[0]
    with pytest.raises(FeatureError, match="soft_labels"):
        training_targets(data, np.array([0]), 0.5, torch.device("cpu"))


@pytest.fixture
def config():
    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.graph.storage import load_graphs

    return lambda run: (load_graphs(run), ClassifyConfig())
