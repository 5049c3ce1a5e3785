"""Graph networks tuned without the test brain, and long context: `python -m benchmarks.classify.tune --run RUN`.

RUN: as for `benchmarks.classify.brains`, with a registration "study". Every network learns from two brains and names a
third, in all twelve ways: macro-F1 alone, and times the registered prior (of 3 degrees) of the same two brains at the
weight that is best over these. Then, for each test brain, the network that is best among the other three learns from
them and names it (nested leave-one-brain-out): what tuning gives beside the plain network. Fixed epochs, all nodes.
Long context, beside deeper networks: edges between brains where registration puts nodes together, which attention tells
from the mesh's, and attention among cells of the mesh, finer and coarser, between the layers.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor, nn

from benchmarks.classify.blocks import spread_blocks
from benchmarks.classify.brains import ENCODER, REGISTRATION, registered_run
from benchmarks.common import Options, Result, main
from cytomesh.classify.area_fields import AreaFields, Located
from cytomesh.classify.assemble import assemble, class_targets
from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.layers import Attention, AttentionModel, ConvolutionModel
from cytomesh.classify.networks import GraphNetwork
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.prior import WEIGHTS, exponent, places_of, product
from cytomesh.classify.splits import NONE, TRAIN, BrainSplit
from cytomesh.classify.training import NeuralClassifier, TrainingConfig
from cytomesh.core.config import load_config, preset
from cytomesh.core.learning import macro_f1
from cytomesh.core.progress import log, track
from cytomesh.core.random import generator
from cytomesh.graph.neighbourhoods import Floats
from cytomesh.graph.storage import load_graphs

PRIOR_SD_DEG = 3.0
SEEDS = (0, 1, 2)
"""Of the trainings on three brains."""
CELLS = (32, 256)
"""Nodes of a cell, finer and coarser."""
Brains = tuple[int, ...]
Triple = tuple[Brains, int]
"""Brains that are learnt from, and the one that is named."""
ALONE, VOTED = 0, 1
"""Columns of scores."""


@dataclass(frozen=True)
class Network:
    """What is tuned: a graph network, its training, and edges to registered neighbours or cells, if any."""

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    neighbours: int = 0
    cells: tuple[int, ...] = ()


PLAIN = "GAT, 3 layers of 64"
NARROW, WIDE = {"hidden": 64}, {"hidden": 128}
NETWORKS = {
    PLAIN: Network(NARROW),
    "1 layer": Network({**NARROW, "layers": 1}),
    "6 layers, all read": Network({**NARROW, "layers": 6, "jumping_knowledge": True}),
    "32 wide": Network({"hidden": 32}),
    "128 wide": Network(WIDE),
    "256 wide": Network({"hidden": 256}),
    "128 wide, 120 epochs": Network(WIDE, {"epochs": 120}),
    "128 wide, dropout 0": Network({**WIDE, "dropout": 0.0}),
    "128 wide, dropout 0.5": Network({**WIDE, "dropout": 0.5}),
    "GATv2, 128 wide": Network({**WIDE, "kind": "gatv2"}),
    "GCN, 128 wide": Network({**WIDE, "kind": "gcn"}),
    "GraphSAGE, 128 wide": Network({**WIDE, "kind": "sage"}),
    "registered neighbours, 1 a brain": Network(NARROW, neighbours=1),
    "registered neighbours, 3 a brain": Network(NARROW, neighbours=3),
    "cells of 32 nodes": Network(NARROW, cells=CELLS[:1]),
    "cells of 32 and 256 nodes": Network(NARROW, cells=CELLS),
}
QUICK = (PLAIN, "128 wide")


class Pooled(GraphNetwork):
    """Residual graph layers; behind each of the first, attention among cells of the mesh, finer ones first.

    A cell is the mean of its nodes. What two layers of attention make of it is added to them, 0 at first.
    """

    def __init__(self, settings: AttentionModel, n_inputs: int, n_classes: int, cells: Sequence[int]) -> None:
        super().__init__(settings, n_inputs, n_classes)
        self.cells = cells
        width = settings.hidden
        self.levels = nn.ModuleList(nn.ModuleList(_level(settings, width)) for _ in cells)
        self._between: dict[int, tuple[MeshEdges, MeshEdges]] = {}

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) inputs to (n, k) logits."""
        x = self.project(inputs)
        for number, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            x = x + self.dropout(nn.functional.gelu(layer(norm(x), edges)))
            if number < len(self.cells):
                x = x + self.dropout(self._around(x, edges, number))
        return self.read_out(x)

    def _around(self, x: Tensor, edges: MeshEdges, number: int) -> Tensor:
        size = self.cells[number]
        cell = edges.made(f"cells of {size}", x.device, partial(cells_of, edges, size))
        between = self._edges_between(edges, cell, size)
        counts = torch.bincount(cell).to(x.dtype).unsqueeze(1)
        y = torch.zeros(len(counts), x.shape[1], device=x.device).index_add(0, cell, x) / counts
        first_norm, first, second_norm, second, out = self.levels[number]
        y = y + nn.functional.gelu(first(first_norm(y), between))
        y = y + nn.functional.gelu(second(second_norm(y), between))
        return out(y)[cell]

    def _edges_between(self, edges: MeshEdges, cell: Tensor, size: int) -> MeshEdges:
        """Return the edges among cells: those whose nodes are neighbours."""
        if size not in self._between or self._between[size][0] is not edges:
            numbers = cell.numpy(force=True)
            pairs = np.unique(np.stack([numbers[edges.targets()], numbers[edges.indices]]), axis=1)
            pairs = pairs[:, pairs[0] != pairs[1]]
            n = int(numbers.max()) + 1
            adjacency = sp.csr_matrix((np.ones(pairs.shape[1]), pairs), (n, n))
            self._between[size] = edges, MeshEdges.from_adjacency(adjacency)
        return self._between[size][1]


def _level(settings: AttentionModel, width: int) -> list[nn.Module]:
    out = nn.Linear(width, width)
    nn.init.zeros_(out.weight)
    nn.init.zeros_(out.bias)
    layers = [Attention.from_settings(settings) for _ in range(2)]
    return [nn.LayerNorm(width), layers[0], nn.LayerNorm(width), layers[1], out]


def cells_of(edges: MeshEdges, size: int) -> NDArray[np.int64]:
    """Return the cell of each node, (n,): compact pieces of the mesh of about `size` nodes."""
    n = edges.indptr.size - 1
    adjacency = sp.csr_matrix((np.ones(edges.indices.size), edges.indices, edges.indptr), (n, n))
    return spread_blocks(adjacency, np.ones(n, bool), max(1, n // size), generator(0, "cells"))


class PooledClassifier(NeuralClassifier):
    """A network with cells."""

    cells: tuple[int, ...] = ()

    def new_network(self) -> nn.Module:
        """Return the network with random weights."""
        assert isinstance(self.settings, AttentionModel)
        return Pooled(self.settings, self.n_inputs, self.n_classes, self.cells).to(self.device)


class Nodes:
    """The nodes of all brains, whose areas are all known, and what a training on some brains takes of them."""

    def __init__(self, run: Path) -> None:
        graphs = load_graphs(run)
        labels = [graph.annotation for graph in graphs]
        names = sorted({graph.brain for graph in graphs})
        features = [f"inputs.names=[features:{ENCODER}]", "inputs.standardise=graph"]
        settings = load_config(
            ClassifyConfig, preset("classify", "gat"), [*features, f"prior.registration={REGISTRATION}"]
        )
        split = BrainSplit(kind="brain", train=names[:-1], test=names[-1:])
        self.data, *_ = assemble(run, graphs, labels, settings.model_copy(update={"split": split}))
        self.labels = np.concatenate(labels)
        assert self.data.brains is not None
        self.brains = self.data.brains
        self.n_brains = len(names)
        self.located = Located.of(places_of(self.data))
        self._priors: dict[Brains, Floats] = {}

    def learning_from(self, brains: Brains) -> NodeData:
        """Return the data in which the labels of some brains are learnt."""
        is_train = np.isin(self.brains, brains) & (self.labels > 0)
        classes, targets = class_targets(self.labels, is_train)
        sides = np.where(is_train, TRAIN, NONE)
        return replace(self.data, classes=classes, targets=targets, sides=sides)

    def prior(self, learnt: Brains) -> Floats:
        """Return the registered areas of some brains at every node, (n, k)."""
        if learnt not in self._priors:
            data = self.learning_from(learnt)
            rows = data.is_train
            shares = 1.0 / np.repeat(data.sizes, data.sizes)[rows]
            known = places_of(data)[rows], data.targets[rows], self.brains[rows], shares
            fields = next(AreaFields.of(*known, data.classes.size, (PRIOR_SD_DEG,)))
            self._priors[learnt] = self.located.values(fields.prior(np.ones(len(learnt), bool)))
        return self._priors[learnt]


@dataclass(frozen=True)
class Scores:
    """Macro-F1 of one brain: alone, by each weight beside the prior (0: the prior alone), and the seconds it took."""

    alone: float
    voted: NDArray[np.float64]
    seconds: float


def named(nodes: Nodes, network: Network, learnt: Brains, brain: int, seed: int) -> Scores:
    """Learn from some brains, and name another."""
    began = time.perf_counter()
    data = nodes.learning_from(learnt)
    if network.neighbours:
        data = with_neighbours(data, network.neighbours)
    likely = trained(data, network, seed).probabilities(data)
    seconds = time.perf_counter() - began
    is_here = nodes.brains == brain
    prior, likely = nodes.prior(learnt)[is_here], likely[is_here]
    linked = data.is_linked[is_here] if data.is_linked is not None else np.ones(len(prior), bool)
    e = exponent(prior, likely, linked)
    rows = np.flatnonzero(data.targets[is_here] >= 0)
    truth = data.targets[is_here][rows]
    voted = [macro_f1(truth, product(prior, likely, np.array([[w * e]]))[rows].argmax(axis=1)) for w in WEIGHTS]
    return Scores(macro_f1(truth, likely[rows].argmax(axis=1)), np.array(voted), seconds)


def trained(data: NodeData, network: Network, seed: int) -> NeuralClassifier:
    """Return a network that has learnt from the training nodes."""
    kind = network.model.get("kind", "gat")
    model = {"kind": kind, **network.model, **({"edges": ["length"]} if network.neighbours else {})}
    settings = (AttentionModel if kind.startswith("gat") else ConvolutionModel).model_validate(model)
    training = TrainingConfig.model_validate({"epochs": 60, "learning_rate": 0.01, **network.training})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier = PooledClassifier if network.cells else NeuralClassifier
    result = classifier(settings, training, data.inputs.shape[1], data.classes.size, device)
    if isinstance(result, PooledClassifier):
        result.cells = network.cells
    result.fit(data, seed)
    return result


def with_neighbours(data: NodeData, n_neighbours: int) -> NodeData:
    """Join each node to the nearest ones of every other brain on the registered sphere; edges know which these are."""
    places, brains = places_of(data), data.brains
    assert brains is not None
    pairs = []
    for one, other in itertools.permutations(np.unique(brains), 2):
        here, there = np.flatnonzero(brains == one), np.flatnonzero(brains == other)
        near = cKDTree(places[there]).query(places[here], k=n_neighbours)[1].reshape(here.size, -1)
        pairs.append(np.stack([np.repeat(here, near.shape[1]), there[near.ravel()]]))
    rows, columns = np.concatenate(pairs, axis=1)
    n = len(places)
    between = sp.csr_matrix((np.ones(rows.size), (rows, columns)), (n, n))
    between = sp.csr_matrix(between + between.T).astype(bool)
    joined = sp.csr_matrix(data.adjacency.astype(bool).astype(np.int8) + 2 * between.astype(np.int8))
    joined.sort_indices()
    is_between = (joined.data == 2).astype(np.float32)[:, None]
    return replace(data, adjacency=joined, edge_attributes=is_between - is_between.mean())


def measure(options: Options) -> Result:
    """Tune on triples of brains; the quick form has two networks, of a few epochs."""
    networks = {name: NETWORKS[name] for name in (QUICK if options.quick else NETWORKS)}
    if options.quick:
        networks = {name: replace(network, training={"epochs": 5}) for name, network in networks.items()}
    with registered_run(options) as run:
        nodes = Nodes(run)
    brains = range(nodes.n_brains)
    triples = [(pair, brain) for brain in brains for pair in itertools.combinations(sorted({*brains} - {brain}), 2)]
    found: dict[str, dict[Triple, Scores]] = {}
    rows: list[list[Any]] = []
    for name, network in networks.items():
        found[name] = {triple: named(nodes, network, *triple, seed=0) for triple in track(triples, name)}
        rows.append([name, *_mean(list(found[name].values()))])
        log(f"{name}: {rows[-1][1]:.3f} alone, {rows[-1][2]:.3f} with the prior")
    columns = ("network", "alone", "with prior", "at weight", "seconds")
    title = "Graph networks on brains that neither trained nor tuned them: macro-F1"
    return Result(title, columns, rows, _nested(nodes, networks, found))


def _nested(nodes: Nodes, networks: Mapping[str, Network], found: Mapping[str, Mapping[Triple, Scores]]) -> str:
    """Say what the plain network and those that are best without the test brain score on it, over all brains."""
    totals = np.zeros((2, 2))
    chosen: dict[int, set[str]] = {ALONE: set(), VOTED: set()}
    for brain in range(nodes.n_brains):
        others = tuple(sorted(set(range(nodes.n_brains)) - {brain}))
        means = {
            name: _mean([score for (learnt, named_), score in scores.items() if brain not in (*learnt, named_)])
            for name, scores in found.items()
        }
        best = [max(means, key=lambda name, of=means, column=column: of[name][column]) for column in chosen]
        again = {name: [named(nodes, networks[name], others, brain, seed) for seed in SEEDS] for name in {PLAIN, *best}}
        for column, names in chosen.items():
            names.add(best[column])
            for role, name in enumerate((PLAIN, best[column])):
                at = WEIGHTS.index(means[name][2])
                scores = [score.voted[at] if column == VOTED else score.alone for score in again[name]]
                totals[column, role] += np.mean(scores) / nodes.n_brains
    return "; ".join(
        f"{what} plain {plain:.3f}, tuned {tuned:.3f} ({', '.join(sorted(names))})"
        for what, (plain, tuned), names in zip(("alone", "with the prior"), totals, chosen.values(), strict=True)
    )


def _mean(scores: Sequence[Scores]) -> tuple[float, float, float, float]:
    """Return mean scores alone and with the prior, at the weight that is best on average, that weight, and seconds."""
    voted = np.mean([score.voted for score in scores], axis=0)
    best = int(voted.argmax())
    alone, seconds = (float(np.mean([getattr(score, name) for score in scores])) for name in ("alone", "seconds"))
    return alone, float(voted[best]), WEIGHTS[best], seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__, takes_run=True)
