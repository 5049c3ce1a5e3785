"""Encoder and network as one model: features of some nodes are computed, those of the others are given."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.context import impute
from cytomesh.finetune.nodes import TrainingNodes
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.patches import PatchSource, read_ahead
from cytomesh.pretrain.trainer import crop

BLOCK = 256
"""Patches encoded together where no gradient is needed."""


class JointModel(nn.Module):
    """Patches to areas, through the graph.

    The encoder stays in evaluation mode: normalisation layers keep the statistics of pretraining, since a batch of
    neighbouring nodes is no sample of the cortex. A patch's feature then depends on nothing but the patch.

    Parameters
    ----------
    encoder : PatchEncoder
    network : nn.Module
        Of `classify.networks`: (n, d) inputs and edges to (n, k) logits.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, encoder: PatchEncoder, network: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.network = network
        self.register_buffer("centre", torch.zeros(encoder.dim))
        self.register_buffer("scale", torch.ones(encoder.dim))

    def train(self, mode: bool = True) -> JointModel:
        """Let the network drop out, or not; the encoder never does."""
        super().train(mode)
        self.encoder.eval()
        return self

    def standardise_on(self, features: Tensor) -> None:
        """Fix mean and SD of the network's inputs, from (n, d) inputs under the present ones."""
        spread = features.std(dim=0, correction=0)
        self.centre += self.scale * features.mean(dim=0)
        self.scale *= torch.where(spread < 1e-6, torch.ones_like(spread), spread)

    def features(self, images: Tensor) -> Tensor:
        """Return standardised features, (n, d), of normalised images, (n, c, s, s)."""
        return (self.encoder(images).float() - self.centre) / self.scale

    def forward(self, images: Tensor, given: Tensor, drawn: Tensor, edges: MeshEdges) -> Tensor:
        """Return logits, (m, k), from given features, (m, d), but for the `drawn` nodes, encoded from images."""
        logits: Tensor = self.network(given.index_copy(0, drawn, self.features(images)), edges)
        return logits


@torch.no_grad()
def encode_nodes(
    model: JointModel, source: PatchSource, nodes: TrainingNodes, border_px: int, readers: int = 1
) -> Tensor:
    """Return the standardised features of all nodes, (n, d), on the model's device.

    Patches are not augmented; nodes without an image link take what lies around them (`classify.context.impute`).
    """
    device = model.centre.device
    linked = np.flatnonzero(nodes.pool_row >= 0)
    blocks = [linked[first : first + BLOCK] for first in range(0, len(linked), BLOCK)]

    def read(number: int) -> NDArray[np.uint8]:
        return source.read(nodes.pool_row[blocks[number]])

    features = torch.full((len(nodes), len(model.centre)), torch.nan)
    for block, patches in zip(blocks, read_ahead(read, 0, len(blocks), readers), strict=True):
        images = crop(torch.from_numpy(patches).to(device), border_px)
        features[torch.from_numpy(block)] = model.features(model.encoder.normalise(images)).cpu()
    return torch.from_numpy(np.concatenate(list(filled(features.numpy(), nodes)))).to(device)


def filled(features: NDArray[np.float32], nodes: TrainingNodes) -> Iterator[NDArray[np.float32]]:
    """Yield each graph's features with missing rows filled in."""
    ends = np.cumsum([0, *(graph.n_nodes for graph in nodes.graphs)])
    for graph, (first, last) in zip(nodes.graphs, itertools.pairwise(ends), strict=True):
        yield impute(features[first:last], graph.adjacency)[0]
