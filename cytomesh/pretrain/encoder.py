"""Encoders: a timm model whose pooled output is the feature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cytomesh.core.errors import ConfigError, FeatureError, did_you_mean
from cytomesh.core.random import isolated_seed
from cytomesh.imaging.augment import Augmentation, AugmentConfig
from cytomesh.pretrain.config import EncoderConfig, PatchConfig
from cytomesh.study.pixels import BT601


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
        If timm has no such model, or the model refuses the options or weights.
    """

    def __init__(self, config: EncoderConfig, patches: PatchConfig, normalisation: AugmentConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = patches
        self.normalisation = normalisation
        self.normalise = Augmentation(normalisation).normalise
        self.backbone = create_backbone(config, patches.size_px)
        if config.activation_checkpointing:
            checkpoint_activations(self.backbone, config.name)
        if config.layers:
            self.dim = cut_behind(self.backbone, config, patches.size_px)
        else:
            # some models have a further layer between their last feature map and the classifier
            width: Any = getattr(timm_model(self.backbone), "head_hidden_size", None)
            self.dim = int(width or timm_model(self.backbone).num_features)
        if config.channels_last:
            self.to(memory_format=torch.channels_last)

    @property
    def expects(self) -> dict[str, Any]:
        """What, beside the weights, features depend on: network, size and resolution of patches, normalisation."""
        # stored features of encoders without layers do not know the setting
        left_out = {
            "weights",
            "activation_checkpointing",
            "drop_path_rate",
            *([] if self.config.layers else ["layers"]),
        }
        network = self.config.model_dump(mode="json", exclude=left_out)
        patches = {"size_px": self.patches.size_px, "um_per_px": self.patches.um_per_px}
        return {**network, **patches, "mean": self.normalisation.mean, "std": self.normalisation.std}

    def forward(self, images: Tensor) -> Tensor:
        """Return features, (n, dim), of normalised images, (n, c, s, s); grey or RGB, whatever the network takes."""
        images = in_channels(images, self.config.in_chans or 1)
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.config.layers:
            return layer_means(self.backbone, images, self.config.layers)
        features: Tensor = self.backbone(images)
        return features

    @torch.inference_mode()
    def embed(self, patches: Tensor | NDArray[np.uint8]) -> Tensor:
        """Return float32 features, (n, dim), of patches, (n, c, s, s) uint8, as `cytomesh embed` does.

        Parameters
        ----------
        patches : tensor or array, (n, 1 or 3, s, s) uint8
            Not normalised, as `read_patches` gives them: s is `patches.size_px`, a pixel `patches.um_per_px` large.

        Raises
        ------
        FeatureError
            If they are of another type or shape.
        """
        device, side = next(self.parameters()).device, self.patches.size_px
        patches = torch.as_tensor(patches)
        wanted = [(channels, side, side) for channels in (1, 3)]
        if patches.dtype != torch.uint8 or tuple(patches.shape[1:]) not in wanted:
            found = f"patches of shape {tuple(patches.shape)}, {str(patches.dtype).removeprefix('torch.')}"
            expected = f"(n, 1 or 3, {side}, {side}) uint8, grey levels 0 to 255"
            hint = f"read them with size_px={side}, um_per_px={self.patches.um_per_px:g}, and leave normalising to this"
            raise FeatureError(self.config.name, "patches", found=found, expected=expected, hint=hint)
        return self(self.normalise(patches.to(device))).float()


def in_channels(images: Tensor, n_channels: int) -> Tensor:
    """Return images (n, c, s, s) with the channels of a network: grey is repeated, of colours the luminance is taken.

    The same before and after normalisation, which is one for all channels.
    """
    if images.shape[1] == n_channels:
        return images
    if images.shape[1] == 1:
        return images.expand(-1, n_channels, -1, -1)
    red, green, blue = (weight * images[:, i : i + 1] for i, weight in enumerate(BT601))
    return red + green + blue


class StridedModel(nn.Module):
    """A model behind two strided convolutions, for patches of 2,048 px: it sees a quarter of their side.

    Convolutions of 5 x 5 and 3 x 3 with stride 2 each, to 16 and 32 channels, batch norm and ReLU after each. All that
    is wide comes behind them, so that a ResNet50 keeps about a ninth of the activations for its backward pass.
    """

    def __init__(self, in_chans: int, model: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *strided(in_chans, STEM_CHANNELS[0], 5),
            *strided(STEM_CHANNELS[0], STEM_CHANNELS[1], 3),
        )
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return features, (n, dim), of images, (n, c, s, s)."""
        features: Tensor = self.model(self.stem(images))
        return features


def timm_model(backbone: nn.Module) -> Any:
    """Return the model behind a strided stem, or the backbone itself."""
    return backbone.model if isinstance(backbone, StridedModel) else backbone


def layer_means(backbone: nn.Module, images: Tensor, layers: list[int]) -> Tensor:
    """Return the mean token (class and register tokens left out) or feature of some layers, (n, sum of widths).

    Tokens are normalised by the model's last norm, as the means of its own last block would be; models that normalise
    behind their pooling have none for tokens.
    """
    if isinstance(backbone, StridedModel):
        images = backbone.stem(images)
    maps = timm_model(backbone).forward_intermediates(images, indices=layers, norm=True, intermediates_only=True)
    return torch.cat([layer.mean(dim=(2, 3)) for layer in maps], dim=1)


def cut_behind(backbone: nn.Module, config: EncoderConfig, size_px: int) -> int:
    """Leave out what lies behind the last of `config.layers`, in place; returns the width of what they give together.

    Raises
    ------
    ConfigError
        If timm cannot do so for this model, or it has no such layer.
    """
    layers = config.layers or []
    try:
        timm_model(backbone).prune_intermediate_layers(layers, prune_head=True)
        with torch.inference_mode():
            one = torch.zeros(1, config.in_chans or 1, size_px, size_px)
            return int(layer_means(backbone.eval(), one, layers).shape[1])
    except (AttributeError, AssertionError, IndexError) as cause:
        found = f"{layers} of {config.name} ({type(cause).__name__}: {' '.join(str(cause).split())[:200]})"
        hint = "leave encoder.layers out, or name blocks (stages of a CNN) that the model has, from 0"
        raise ConfigError("encoder.layers", found=found, expected="layers of this model", hint=hint) from cause
    finally:
        backbone.train()


# Channels of the strided stem, and how much smaller its output is.
STEM_CHANNELS = (16, 32)
STEM_STRIDE = 4


def strided(before: int, after: int, kernel: int) -> list[nn.Module]:
    """Return a convolution with stride 2, normalised."""
    convolution = nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]


def create_backbone(config: EncoderConfig, size_px: int) -> nn.Module:
    """Create a timm model without classifier, with random or ready weights.

    Raises
    ------
    ConfigError
        If there is no such model, it refuses its options, or the weights are not to be had or not its own.
    """
    is_hub = config.name.startswith(("hf-hub:", "local-dir:"))
    if not is_hub and not timm.is_model(config.name):
        hint = did_you_mean(config.name, timm.list_models(), "see timm.list_models()")
        raise ConfigError("encoder.name", config.name, found="no such timm model", hint=hint)
    options: dict[str, Any] = dict(config.options)
    if config.drop_path_rate:
        options["drop_path_rate"] = config.drop_path_rate
    if config.patch_size:
        options["patch_size"] = config.patch_size
    in_chans = config.in_chans or 1
    has_stem = config.stem == "strided"
    options |= {"in_chans": STEM_CHANNELS[-1] if has_stem else in_chans, "num_classes": 0}
    options["pretrained"] = config.weights != "random"
    if config.weights not in ("random", "pretrained"):
        options["pretrained_cfg_overlay"] = {"file": _weights_file(config.weights)}
    side = size_px // STEM_STRIDE if has_stem else size_px
    try:
        model = _load(config, side, options) if options["pretrained"] else _create(config.name, side, options)
    except ConfigError:
        raise
    except (TypeError, AssertionError, ValueError, RuntimeError, OSError) as cause:
        found = f"{config.name} refuses {options} ({type(cause).__name__}: {' '.join(str(cause).split())[:200]})"
        hint = "check patches.size_px, encoder.options and encoder.weights (pretrained ones need a network)"
        raise ConfigError("encoder", found=found, hint=hint) from cause
    return StridedModel(in_chans, model) if has_stem else model


def _create(name: str, size_px: int, options: dict[str, Any]) -> nn.Module:
    try:
        # transformers build position embeddings for one image size
        model: nn.Module = timm.create_model(name, img_size=size_px, **options)
    except TypeError as refusal:
        if "img_size" not in str(refusal):
            raise
        model = timm.create_model(name, **options)  # convolutions take any size
    return model


def _load(config: EncoderConfig, size_px: int, options: dict[str, Any]) -> nn.Module:
    """Create a model with ready weights; fail if one is still random: timm takes what fits, even if that is nothing."""
    with isolated_seed(0, "weights"):
        random = dict(_create(config.name, size_px, options | {"pretrained": False}).named_parameters())
    with isolated_seed(0, "weights"):
        model = _create(config.name, size_px, options)
    left = [name for name, value in model.named_parameters() if value.ndim > 1 and torch.equal(value, random[name])]
    if left:
        found = f"no {', '.join(left[:3])}{' ...' if len(left) > 3 else ''} for {config.name} in {config.weights}"
        raise ConfigError("encoder.weights", found=found, expected=f"all {len(random)} weights of this model")
    if config.weights != "pretrained":
        _check_names(config, model)
    return model


def _check_names(config: EncoderConfig, model: nn.Module) -> None:
    """Fail if a file in the model's own names lacks a tensor: scales, biases and statistics begin as ones and zeros.

    Those cannot be told from ready ones by value. Files in other names, which timm translates, have been compared by
    value.
    """
    given = timm.models.load_state_dict(config.weights, device="cpu")
    matrices = [name for name, value in model.named_parameters() if value.ndim > 1]
    # counts of batches, which older PyTorch did not store, change no feature
    wanted = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    missing = [name for name in wanted if name not in given]
    if missing and all(name in given for name in matrices):
        found = f"no {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''} for {config.name} in {config.weights}"
        hint = "save state_dict(), which has the statistics of batch norm; named_parameters() has not"
        raise ConfigError("encoder.weights", found=found, expected=f"all {len(wanted)} tensors of it", hint=hint)


def _weights_file(path: str) -> str:
    if not Path(path).is_file():
        expected = "random, pretrained, or a file of weights"
        raise ConfigError("encoder.weights", found=f"no file {path}", expected=expected)
    return path


def checkpoint_activations(backbone: nn.Module, name: str) -> None:
    """Let a model compute its activations again in the backward pass (Chen et al., 2016).

    Batch norm then counts each batch twice in its running statistics; transformers have none.

    Raises
    ------
    ConfigError
        If timm cannot do so for this model.
    """
    try:
        timm_model(backbone).set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as cause:
        hint = "set it to false, or use schedule.parts to save memory"
        raise ConfigError("encoder.activation_checkpointing", found=f"{name} cannot", hint=hint) from cause
