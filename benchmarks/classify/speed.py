"""Attention on a mesh against PyG's layers: `python -m benchmarks.classify.speed [--quick] [--json FILE]`.

A network of 2 or 3 attention layers (4 heads x 32) from 256 inputs to 100 classes, with the same weights in both, on
an icosphere of 163,842 nodes (BigBrain's mesh size), 2 threads. Outputs and gradients are compared first; times are
taken in turns; peak memory is that of a fresh process that does nothing else, less one that only builds the problem.
The quick form has 10,242 nodes and one round.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Any

import numpy as np
import torch
import trimesh
from torch import Tensor, nn

from benchmarks.common import Options, Result, interleave, main, peak_memory_mb
from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.layers import Attention, AttentionV2

N_INPUTS, CHANNELS, HEADS, N_CLASSES = 256, 32, 4, 100
THREADS = 2
TOLERANCE = 1e-5
COLUMNS = ("layer, task", "cytomesh s", "PyG s", "times faster", "cytomesh MB", "PyG MB", "memory ratio")


class Stack(nn.Module):
    """Attention layers with GELU between them, and a linear read-out."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.read_out = nn.Linear(CHANNELS * HEADS, N_CLASSES)

    def forward(self, x: Tensor, graph: Any) -> Tensor:
        """Map (n, 256) to (n, 100) logits."""
        for layer in self.layers:
            x = nn.functional.gelu(layer(x, graph))
        return self.read_out(x)


class Problem:
    """A mesh, inputs, labels and one of the two networks."""

    def __init__(self, subdivisions: int, kind: str, depth: int, ours: bool) -> None:
        torch.set_num_threads(THREADS)
        torch.manual_seed(0)
        ball = trimesh.creation.icosphere(subdivisions=subdivisions)
        n = len(ball.vertices)
        self.x = torch.randn(n, N_INPUTS)
        self.targets = torch.randint(N_CLASSES, (n,))
        i, j = torch.from_numpy(np.array(ball.edges_unique, np.int64)).T
        self.graph: Any = torch.stack([torch.cat([i, j]), torch.cat([j, i])])
        self.network = network(kind, depth, ours)
        if ours:
            import scipy.sparse as sp

            rows, columns = self.graph.numpy()
            self.graph = MeshEdges.from_adjacency(
                sp.csr_matrix((np.ones(rows.size, np.float32), (rows, columns)), (n, n))
            )
        self.optimiser = torch.optim.AdamW(self.network.parameters())

    def gradients(self) -> list[Tensor]:
        """Return output and gradients, at the first weights."""
        logits = self.network(self.x, self.graph)
        nn.functional.cross_entropy(logits, self.targets).backward()
        return [logits.detach(), *(p.grad for p in self.network.parameters() if p.grad is not None)]

    def step(self) -> None:
        """Take one training step."""
        self.optimiser.zero_grad()
        nn.functional.cross_entropy(self.network(self.x, self.graph), self.targets).backward()
        self.optimiser.step()

    def infer(self) -> None:
        """Predict all nodes."""
        with torch.inference_mode():
            self.network(self.x, self.graph)


def network(kind: str, depth: int, ours: bool) -> Stack:
    """Build a network; both kinds of one depth have the same weights."""
    widths = [N_INPUTS, *[CHANNELS * HEADS] * (depth - 1)]
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn import GATConv, GATv2Conv

        peer = Stack([(GATConv if kind == "gat" else GATv2Conv)(width, CHANNELS, HEADS) for width in widths])
    if not ours:
        return peer
    own = Stack([(Attention if kind == "gat" else AttentionV2)(width, CHANNELS, HEADS, 0.0) for width in widths])
    own.load_state_dict(peer.state_dict())
    return own


def measure(options: Options) -> Result:
    """Compare equality, then time, then memory."""
    subdivisions, rounds = (5, 1) if options.quick else (7, 3)
    rows: list[list[Any]] = []
    for kind in ("gat", "gatv2"):
        for depth in (2,) if options.quick else (2, 3):
            ours, theirs = (Problem(subdivisions, kind, depth, own) for own in (True, False))
            for mine, reference in zip(ours.gradients(), theirs.gradients(), strict=True):
                if (mine - reference).abs().max() > TOLERANCE * max(1.0, float(reference.abs().max())):
                    raise RuntimeError(f"{kind}: not equal to PyG")
            for task in ("step",) if options.quick else ("step", "infer"):
                times = interleave({"ours": getattr(ours, task), "theirs": getattr(theirs, task)}, rounds)
                memory = [_memory(subdivisions, kind, depth, own, task) for own in (True, False)]
                speed = times["theirs"].median / times["ours"].median
                name = f"{kind}, {depth} layers, {'training step' if task == 'step' else 'inference'}"
                rows.append(
                    [name, str(times["ours"]), str(times["theirs"]), speed, *memory, memory[1] / max(memory[0], 1e-9)]
                )
    n = 10 * 4**subdivisions + 2
    slowest, largest = min(row[3] for row in rows), min(row[6] for row in rows)
    claim = f"at least {slowest:.1f} times as fast with {1 / largest:.2f} of the memory; equal to {TOLERANCE}"
    return Result(f"Attention on {n:,} nodes, {THREADS} threads", COLUMNS, rows, claim)


@cache
def _memory(subdivisions: int, kind: str, depth: int, own: bool, task: str) -> float:
    """Return the peak MB of a fresh process that builds the problem and does a task, less that of building it."""
    os.environ["PYTHONWARNINGS"] = "ignore"
    code = f"from benchmarks.classify.speed import Problem\np = Problem({subdivisions}, '{kind}', {depth}, {own})\n"
    return peak_memory_mb(f"{code}p.{task}()" if task else code) - (
        _memory(subdivisions, kind, depth, own, "") if task else 0.0
    )


if __name__ == "__main__":
    main(measure, __doc__)
