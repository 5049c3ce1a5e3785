"""What training needs around an encoder: heads, and batch norm over all ranks."""

from __future__ import annotations

import itertools

from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from cytomesh.pretrain.config import HeadConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.loss import Outputs


class ProjectionHead(nn.Module):
    """Features to unit vectors: linear layers, normalisation and ReLU between them (Chen et al., 2020, section 4.2)."""

    def __init__(self, dim: int, config: HeadConfig) -> None:
        super().__init__()
        widths = [dim, *[config.hidden] * (config.layers - 1)]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            norm = nn.BatchNorm1d(after) if config.norm == "batch" else nn.LayerNorm(after)
            layers += [nn.Linear(before, after, bias=False), norm, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], config.out, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        """Return float32 unit vectors, (n, out)."""
        return functional.normalize(self.layers(features).float(), dim=1)


class Projector(nn.Module):
    """Encoder and heads as one module, which DDP wants.

    Parameters
    ----------
    encoder : PatchEncoder
    head : ProjectionHead or None
        For contrastive objectives.
    classifier : nn.Linear or None
        For the supervised objective.
    """

    def __init__(
        self, encoder: PatchEncoder, head: ProjectionHead | None = None, classifier: nn.Linear | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.classifier = classifier

    def forward(self, images: Tensor) -> Outputs:
        """Return unit vectors (n, out) and logits (n, c)."""
        features = self.encoder(images)
        return Outputs(
            self.head(features) if self.head is not None else None,
            self.classifier(features) if self.classifier is not None else None,
        )


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether a model looks at patches together while it is trained."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def synchronise_batch_norm(model: nn.Module) -> nn.Module:
    """Let batch norm normalise over the patches of all ranks, in place; the names of the weights stay.

    timm's conversion: torch's own would replace timm's BatchNormAct2d by a bare norm and so delete the activations of
    efficientnet, mobilenet, resnetv2, densenet, regnet and others, without a complaint.
    """
    converted: nn.Module = convert_sync_batchnorm(model)
    return converted
