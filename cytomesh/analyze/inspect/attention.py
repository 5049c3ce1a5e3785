"""What a ViT attends to: the attention of each head, taken from the network while it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cytomesh.core.errors import ConfigError
from cytomesh.pretrain.encode import batch_slices
from cytomesh.pretrain.encoder import PatchEncoder, StridedModel

CLASS_TOKEN, ALL_TOKENS = "class token", "mean of all tokens"


@dataclass(frozen=True, slots=True)
class AttentionMaps:
    """Attention of some layers and all their heads.

    Parameters
    ----------
    maps : (n, l, h, r, c) float32
        How much each token of the grid (rows from the pial side down, columns) is attended to; what is missing to 1
        goes to class and register tokens.
    layers : tuple of int
        Numbers of the layers, from 1.
    n_layers : int
        That the network has.
    query : str
        Who attends: the class token, where the feature is taken from it, else the mean of all tokens of the grid.
    """

    maps: NDArray[np.float32]
    layers: tuple[int, ...]
    n_layers: int
    query: str


def attention_maps(
    encoder: PatchEncoder, patches: Tensor | NDArray[np.uint8], layers: Sequence[int] = (0, -1)
) -> AttentionMaps:
    """Return softmax(q k^T / sqrt(d)) of each head (Vaswani et al., 2017, eq. 1), averaged over nothing but the query.

    Queries and keys are those that the network hands to its attention, after normalisation (`q_norm`, `k_norm`) and
    rotary embedding, and with the biases of relative positions, whichever it has.

    Parameters
    ----------
    encoder : PatchEncoder
        In evaluation mode.
    patches : (n, 1 or 3, s, s) uint8
        As for `PatchEncoder.embed`.
    layers : sequence of int
        Positions of layers, negative ones from the last.

    Raises
    ------
    ConfigError
        If the network has no attention over one grid of tokens (CNNs; ViTs that attend within windows), or not so many
        layers.
    """
    model: Any = _model(encoder)
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if grid is None:
        raise _no_attention(encoder, "no tokens")
    n_prefix = int(getattr(model, "num_prefix_tokens", 0))
    takes_class = bool(n_prefix) and getattr(model, "global_pool", "") == "token"
    rows = slice(0, 1) if takes_class else slice(n_prefix, None)
    n_tokens = n_prefix + int(np.prod(grid))
    found: list[NDArray[np.float32]] = []
    n_layers = 0
    device = next(encoder.parameters()).device
    for batch in batch_slices(len(patches), encoder.patches.size_px, device):
        with _recorded(model) as calls:
            encoder.embed(patches[batch])
        own = [call for call in calls if call.query.shape[-2] == call.key.shape[-2] == n_tokens]
        if not own:
            raise _no_attention(encoder, "none over the whole grid of tokens")
        n_layers = len(own)
        wrong = [layer for layer in layers if not -n_layers <= layer < n_layers]
        if wrong:
            expected = f"-{n_layers} to {n_layers - 1}"
            raise ConfigError(encoder.config.name, f"layer {wrong[0]}", found=f"{n_layers} layers", expected=expected)
        stacked = torch.stack([own[layer].weights(rows)[..., n_prefix:] for layer in layers], dim=1)
        found.append(stacked.reshape(*stacked.shape[:-1], *grid).cpu().numpy())
    numbers = tuple(layer % n_layers + 1 for layer in layers)
    return AttentionMaps(np.concatenate(found), numbers, n_layers, CLASS_TOKEN if takes_class else ALL_TOKENS)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of scaled dot-product attention."""

    query: Tensor  # (n, h, t, d)
    key: Tensor
    mask: Tensor | None
    scale: float

    def weights(self, rows: slice) -> Tensor:
        """Return the attention of some tokens to all, averaged over those tokens, (n, h, t) float32."""
        heads = []
        for head in range(self.query.shape[1]):  # of thousands of tokens, one head at a time fits into memory
            # fewer keys than queries: groups of heads share them
            shared = head * self.key.shape[1] // self.query.shape[1]
            scores = self.query[:, head, rows].float() @ self.key[:, shared].float().transpose(-2, -1) * self.scale
            heads.append((scores + self._bias(head, rows)).softmax(dim=-1).mean(dim=-2))
        return torch.stack(heads, dim=1)

    def _bias(self, head: int, rows: slice) -> Tensor | float:
        if self.mask is None:
            return 0.0
        mask = self.mask.expand(*self.query.shape[:2], self.query.shape[2], self.key.shape[2])[:, head, rows]
        return torch.zeros(mask.shape).masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else mask.float()


class _Recorder(TorchFunctionMode):
    """Notes what is given to scaled dot-product attention, which keeps its weights to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func is functional.scaled_dot_product_attention:
            query, key = args[0], args[1]
            mask = args[3] if len(args) > 3 else named.get("attn_mask")
            self.calls.append(_Call(query, key, mask, named.get("scale") or query.shape[-1] ** -0.5))
        return func(*args, **named)


@contextmanager
def _recorded(model: nn.Module) -> Iterator[list[_Call]]:
    """Record the calls of attention of a model, all of which then go through PyTorch's function."""
    switches: list[Any] = [module for module in model.modules() if hasattr(module, "fused_attn")]
    before = [module.fused_attn for module in switches]
    for module in switches:
        module.fused_attn = True
    try:
        with _Recorder() as recorder:
            yield recorder.calls
    finally:
        for module, value in zip(switches, before, strict=True):
            module.fused_attn = value


def _model(encoder: PatchEncoder) -> nn.Module:
    return encoder.backbone.model if isinstance(encoder.backbone, StridedModel) else encoder.backbone


def _no_attention(encoder: PatchEncoder, found: str) -> ConfigError:
    hint = "grad_cam shows where the features of any network with feature maps come from"
    return ConfigError(encoder.config.name, "attention", found=found, expected="a ViT with one grid", hint=hint)
