"""Encoder and network as one model, and the features of all nodes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.finetune.nodes import TrainingNodes
from cytomesh.graph.neighbourhoods import impute
from cytomesh.imaging.augment import crop
from cytomesh.pretrain.encode import batch_slices, encode_patches
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.patches import PatchSource


class JointModel(nn.Module):
    """Patches to areas, through the graph.

    The encoder stays in evaluation mode: normalisation layers keep the statistics of pretraining, so that a patch has
    the same features in training, with any others in its batch, as from embed.

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
        """Take mean and SD of the network's inputs from the encoder's features, (n, d)."""
        spread = features.std(dim=0, correction=0)
        self.centre.copy_(features.mean(dim=0))
        self.scale.copy_(torch.where(spread < 1e-6, torch.ones_like(spread), spread))

    def standardise(self, features: Tensor) -> Tensor:
        """Return the network's inputs, (n, d), of the encoder's features."""
        return (features - self.centre) / self.scale

    def forward(self, images: Tensor, edges: MeshEdges) -> Tensor:
        """Return logits, (n, k), of nodes from their normalised images, (n, c, s, s), and the edges among them."""
        logits: Tensor = self.network(self.standardise(self.encoder(images).float()), edges)
        return logits


@torch.no_grad()
def encode_nodes(
    encoder: PatchEncoder, source: PatchSource, nodes: TrainingNodes, border_px: int, readers: int = 1
) -> Tensor:
    """Return the features of all nodes, (n, d), on the encoder's device; NaN without an image link, as from embed."""
    device = next(encoder.parameters()).device
    linked = np.flatnonzero(nodes.pool_row >= 0)
    blocks = [linked[batch] for batch in batch_slices(len(linked), encoder.patches.size_px, device)]

    def read(block: NDArray[np.int64]) -> NDArray[np.uint8]:
        return source.read(nodes.pool_row[block])

    def encode(patches: Tensor) -> Tensor:
        return encoder(encoder.normalise(crop(patches, border_px).to(device))).float()

    features = torch.full((len(nodes), encoder.dim), torch.nan, device=device)
    for block, found in zip(blocks, encode_patches(encode, read, blocks, readers=readers), strict=True):
        features[torch.from_numpy(block).to(device)] = found
    return features


def fill(inputs: Tensor, nodes: TrainingNodes) -> Tensor:
    """Return the inputs of all nodes, (n, d): those without take what lies around them, as in classify."""
    parts = torch.split(inputs.cpu(), [graph.n_nodes for graph in nodes.graphs])
    filled = [impute(part.numpy(), graph.adjacency)[0] for part, graph in zip(parts, nodes.graphs, strict=True)]
    return torch.from_numpy(np.concatenate(filled)).to(inputs.device)
