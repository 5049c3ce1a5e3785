"""Encoders: a timm model whose pooled output is the feature, and the projection head that only training needs."""

from __future__ import annotations

import difflib
import itertools
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from cytomesh.core.errors import ConfigError
from cytomesh.imaging.augment import Augmentation, AugmentConfig
from cytomesh.pretrain.config import EncoderConfig, HeadConfig, PatchConfig
from cytomesh.pretrain.loss import Outputs


class PatchEncoder(nn.Module):
    """Patches to features.

    Parameters
    ----------
    config : EncoderConfig
        With `in_chans` set.
    patches : PatchConfig
        Size and resolution of the patches.
    normalisation : AugmentConfig
        Its mean and standard deviation are what the encoder expects.

    Raises
    ------
    ConfigError
        If timm has no such model, or the model refuses the options.
    """

    def __init__(self, config: EncoderConfig, patches: PatchConfig, normalisation: AugmentConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = patches
        self.normalise = Augmentation(normalisation).normalise
        self.backbone = create_backbone(config, patches.size_px)
        # some models have a further layer between their last feature map and the classifier
        width: Any = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.dim = int(width)
        if config.channels_last:
            self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Return features, (n, dim), of normalised images, (n, c, s, s)."""
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone(images)
        return features

    @torch.inference_mode()
    def embed(self, patches: Tensor) -> Tensor:
        """Return float32 features, (n, dim), of uint8 patches, (n, c, s, s), as `cytomesh embed` does."""
        device = next(self.parameters()).device
        return self(self.normalise(patches.to(device))).float()


def create_backbone(config: EncoderConfig, size_px: int) -> nn.Module:
    """Create a timm model without classifier and with random weights."""
    if config.name not in timm.list_models():
        near = difflib.get_close_matches(config.name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "see timm.list_models()"
        raise ConfigError("encoder.name", config.name, found="no such timm model", hint=hint)
    options: dict[str, Any] = dict(config.options)
    if config.drop_path_rate:
        options["drop_path_rate"] = config.drop_path_rate
    if config.patch_size:
        options["patch_size"] = config.patch_size
    options |= {"pretrained": False, "in_chans": config.in_chans, "num_classes": 0}
    try:
        try:
            # transformers build position embeddings for one image size
            return timm.create_model(config.name, img_size=size_px, **options)
        except TypeError as refusal:
            if "img_size" not in str(refusal):
                raise
            return timm.create_model(config.name, **options)  # convolutions take any size
    except (TypeError, AssertionError, ValueError, RuntimeError) as cause:
        found = f"{config.name} refuses {options} ({type(cause).__name__}: {' '.join(str(cause).split())[:200]})"
        raise ConfigError("encoder", found=found, hint="check patches.size_px and encoder.options") from cause


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
