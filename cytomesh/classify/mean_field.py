"""What is known of areas beside how they look: which lie around which, and how large they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.special import softmax

from cytomesh.classify.classifier import Classifier
from cytomesh.classify.nodes import NodeData
from cytomesh.core.config import Config, ascending
from cytomesh.core.learning import macro_f1
from cytomesh.graph.neighbourhoods import Floats, Mask, neighbour_means

WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Compared where the settings leave the weight open."""
STEPS = 3
"""Of the mean field; further ones change next to nothing."""
PRIOR_NODES = 5.0
"""Areas are taken to have been seen at so many nodes in surroundings of average composition."""
LEAST_RATIO = 0.01
"""Added to R below: areas that were never seen near each other may be so after all."""
STATE = ("shares", "log_ratios", "surroundings_weight")


class CrfConfig(Config):
    """Which areas lie around which, learnt from the training nodes: see `cytomesh.classify.mean_field`."""

    hops: list[int] = Field(default=[])
    """Sizes of the discs around a node in which the other areas are looked at; none: each node is named by itself."""
    weight: float | None = Field(default=None, ge=0)
    """Of what the areas around say, against the classifier; None: the best of 0, 0.1, 0.3, 1, 3 and 10 by macro-F1 of
    the validation nodes, 1 without any."""

    @field_validator("hops")
    @classmethod
    def _ordered(cls, hops: list[int]) -> list[int]:
        return ascending(hops, 1, "hops")


class MeanFieldCrf(Classifier):
    """Any classifier, its areas brought in line with those around them and with the areas' proportions.

    A conditional random field over the mesh: beside the classifier's log-probability, each node has a pairwise term
    with every node of the discs around it, the logarithm of how much more often than by chance the other's area lies
    in a disc of this size around nodes of its own area (co-occurrence as in Rabinovich et al. 2007). The
    mean field (Krähenbühl & Koltun 2011, eq. 3) is

        q_i(a)  ~  p_i(a) exp(w sum_h sum_b m_ihb log R_hab),   R_hab = M_hab / s_b,

    m_ihb the mean of q_j(b) over the disc of h hops around node i, M_hab the mean over training nodes i of area a of
    the share of b among the training nodes of that disc (and `PRIOR_NODES` nodes with shares s), and s_b the share of b
    among all training nodes. With `keep_shares`, hemispheres without training nodes are matched to s after each step
    (see `match_proportions`). Labels of training nodes alone are read, and for an open weight w those of validation.

    Parameters
    ----------
    model : Classifier
    settings : CrfConfig
    keep_shares : bool
        Whether to match the areas' proportions.
    """

    def __init__(self, model: Classifier, settings: CrfConfig, *, keep_shares: bool) -> None:
        self.model, self.settings, self.keep_shares = model, settings, keep_shares
        self.weight = 1.0 if settings.weight is None else settings.weight
        self.shares = np.zeros(0)
        self.log_ratios = np.zeros((0, 0, 0), np.float32)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Train the classifier, count which areas lie around which on the training side, and weigh that."""
        curve = self.model.fit(data, seed)
        self.learn(data)
        if self.settings.hops and self.settings.weight is None and data.is_validation.any():
            self.choose_weight(data.training_part())
        return curve

    def learn(self, data: NodeData) -> None:
        """Count the training nodes' areas and those around them."""
        k = data.classes.size
        labelled = data.is_train & (data.targets >= 0)
        counts = np.bincount(data.targets[labelled], minlength=k)
        self.shares = counts / counts.sum()
        one_hot = np.zeros((len(labelled), k), np.float32)
        one_hot[labelled, data.targets[labelled]] = 1
        means = disc_means(one_hot, labelled, data, self.settings.hops)
        sums = np.stack([one_hot.T @ mean for mean in means]) if means else np.zeros((0, k, k))
        around = (sums + PRIOR_NODES * self.shares) / (counts[:, None] + PRIOR_NODES)
        self.log_ratios = np.log(around / np.maximum(self.shares, 1e-12) + LEAST_RATIO).astype(np.float32)

    def choose_weight(self, data: NodeData) -> None:
        """Take the weight with the best macro-F1 of the validation nodes; of equal ones the smallest."""
        alone, rows = self.model.probabilities(data), data.evaluated("validation")
        scores = []
        for weight in WEIGHTS:
            self.weight = weight
            scores.append(macro_f1(data.targets[rows], self.arrange(alone, data)[rows].argmax(axis=1)))
        self.weight = WEIGHTS[int(np.argmax(scores))]

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        return self.arrange(self.model.probabilities(data), data)

    def arrange(self, probabilities: Floats, data: NodeData) -> Floats:
        """Return the mean field that the classifier's (n, k) probabilities lead to."""
        known = np.ones(len(probabilities), bool) if data.is_linked is None else data.is_linked
        alone = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
        current = self._in_proportion(probabilities, data, known)
        for _ in range(STEPS if self.settings.hops and self.weight else 0):
            around = disc_means(current, known, data, self.settings.hops)
            votes = sum(mean @ ratios.T for mean, ratios in zip(around, self.log_ratios, strict=True))
            current = np.asarray(softmax(alone + self.weight * votes, axis=1), np.float32)
            current = self._in_proportion(current, data, known)
        return current

    def _in_proportion(self, probabilities: Floats, data: NodeData, known: Mask) -> Floats:
        if not self.keep_shares:
            return probabilities
        parts = zip(data.graphs(data.is_train), data.graphs(known), data.graphs(probabilities), strict=True)
        return np.concatenate(
            [p if is_train.any() else match_proportions(p, self.shares, linked) for is_train, linked, p in parts]
        )

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        own = (self.shares, self.log_ratios, [self.weight])
        return {**self.model.state(), **{n: np.asarray(a, np.float32) for n, a in zip(STATE, own, strict=True)}}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over the model and what is known of its areas."""
        self.shares, self.log_ratios = state["shares"].astype(np.float64), state["log_ratios"]
        self.weight = float(state["surroundings_weight"][0])
        self.model.load({name: array for name, array in state.items() if name not in STATE})


def disc_means(values: Floats, known: Mask, data: NodeData, hops: list[int]) -> list[Floats]:
    """Return the means over discs of each size, (n, k) each; 0 where a disc has no known node."""
    if not hops:
        return []
    means = neighbour_means(values, known, data.adjacency, hops, "disc")
    return np.split(np.nan_to_num(means, nan=0.0), len(hops), axis=1)


SHIFT_STEPS = 200
SHIFT_STEP = 0.5


def match_proportions(probabilities: Floats, shares: NDArray[np.float64], rows: Mask) -> Floats:
    """Reweight the classes so that each one's mean probability over some nodes is its share.

    The prior of the classes is estimated as in Saerens et al. (2002), but towards known shares instead of by
    expectation maximisation: b_c <- b_c + SHIFT_STEP (log share_c - log mean_i p_ic), p_i = softmax(log p_i + b).
    The fixed point is the closest set of predictions, by Kullback-Leibler divergence, with these shares (half of a
    Sinkhorn iteration). No label of these nodes is read; a node's order of preference changes only by the classes'
    weights.

    Parameters
    ----------
    probabilities : (n, k) float32
    shares : (k,) float64
        Sum to 1, all positive.
    rows : (n,) bool
        Nodes that the shares hold for; the weights are applied to all.

    Returns
    -------
    (n, k) float32
    """
    inside = np.maximum(probabilities[rows].astype(np.float64), 1e-12)
    weights = np.ones(shares.size)
    for _ in range(SHIFT_STEPS):
        current = inside * weights
        mean = (current / current.sum(axis=1, keepdims=True)).mean(axis=0)
        weights *= (shares / mean) ** SHIFT_STEP
        weights /= weights.mean()
    result = np.maximum(probabilities.astype(np.float64), 1e-12) * weights
    return np.asarray(result / result.sum(axis=1, keepdims=True), np.float32)
