"""Trained encoders on disk: weights, settings and a model card, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cytomesh.core.config import write_config
from cytomesh.core.counted import counted
from cytomesh.core.digests import FileDigests, content_digest
from cytomesh.core.errors import CheckpointError, MissingStageError, did_you_mean
from cytomesh.core.files import atomic_path, digest, write_text
from cytomesh.core.provenance import Inputs
from cytomesh.core.random import isolated_seed
from cytomesh.core.reading import reading, refuse_no_safetensors
from cytomesh.core.run import NAME, check_name
from cytomesh.pretrain.checkpoints import list_checkpoints, step_of
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.record import KEY, digest_of, read_record, write_record

WEIGHTS = "model.safetensors"
WEIGHTS_PART, INPUT_PART = "weights", "network and patches"


def build_encoder(settings: PretrainConfig) -> PatchEncoder:
    """Return an encoder with the weights that training begins with, on the CPU."""
    return PatchEncoder(settings.encoder, settings.patches, settings.augment)


def save_encoder(
    folder: Path, name: str, encoder: PatchEncoder, settings: PretrainConfig, facts: Mapping[str, Any]
) -> None:
    """Write `config.yaml`, `README.md` (the model card) and, last, `model.safetensors` with the record of its settings.

    Parameters
    ----------
    settings : PretrainConfig
        With `encoder.in_chans` set.
    facts : dict
        What the card says of data and scores, name to value.
    """
    write_text(folder / "config.yaml", write_config(settings))
    write_text(folder / "README.md", model_card(name, encoder, settings, facts))
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.backbone.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        record = write_record(settings, tensors_digest(state))
        metadata = {"format": "pt", "timm": settings.encoder.name, KEY: record}
        save_file(state, temporary, metadata=metadata)


def load_encoder(folder: Path | str) -> PatchEncoder:
    """Read an exported encoder, in evaluation mode on the CPU; `encoder.embed(patches)` gives features.

    Raises
    ------
    MissingStageError
        If there is no finished encoder.
    CheckpointError
        If the weights are truncated or of another model, or their settings were changed.
    FormatError
        If it is of a newer format than this program knows.

    Examples
    --------
    >>> import numpy as np
    >>> encoder = load_encoder("run/encoders/vit")
    >>> encoder.patches.size_px, encoder.patches.um_per_px  # what it wants to see
    (32, 125.0)
    >>> patches = np.zeros((2, 1, 32, 32), np.uint8)
    >>> encoder.embed(patches).shape
    torch.Size([2, 8])
    """
    folder = Path(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        checkpoints = list_checkpoints(folder / "checkpoints")
        if checkpoints:
            found = f"training stopped after {step_of(checkpoints[-1]):,} steps, before its end"
            hint = f"run 'cytomesh pretrain --name {folder.name}' again with the same settings: it goes on from there"
            raise MissingStageError(path, found=found, hint=hint)
        known = sorted(item.parent.name for item in folder.parent.glob(f"[!.]*/{WEIGHTS}"))
        hint = f"run 'cytomesh pretrain' first, or choose one of: {', '.join(known) or 'none yet'}"
        raise MissingStageError(path, found="no trained encoder", hint=did_you_mean(folder.name, known, hint))
    hint = "copy the encoder again, or run 'cytomesh pretrain' again (it exports from the last checkpoint)"
    with reading(path, CheckpointError, found="weights that cannot be read", hint=hint, also=(SafetensorError,)):
        refuse_no_safetensors(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    with isolated_seed(0, "init"):  # weights that are drawn and replaced at once
        encoder = build_encoder(read_record(path, metadata))
    check_tensors(path, encoder.backbone, state)
    written = digest_of(metadata)
    if written is not None and written != tensors_digest(state):
        raise CheckpointError(path, found="weights that are not as they were written", hint=hint)
    encoder.backbone.load_state_dict(state)
    return encoder.eval()


def tensors_digest(state: Mapping[str, Tensor]) -> str:
    """Digest names, types, shapes and values of tensors."""
    sha = hashlib.sha256()
    for name in sorted(state):
        value = state[name].contiguous()
        sha.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()[:16]


def encoder_parts(folder: Path) -> dict[str, str]:
    """Return the digests of an exported encoder's parts: its weights, and what else its features depend on."""
    encoder = load_encoder(folder)
    return {WEIGHTS_PART: content_digest(folder / WEIGHTS), INPUT_PART: digest(encoder.expects)}


def encoder_folder(run: Path, name: str) -> Path:
    """Return the folder of an encoder: one of this run by its name, or the given folder of another."""
    is_own = NAME.fullmatch(name) and (run / "encoders" / name).is_dir()
    if not is_own and Path(name, WEIGHTS).is_file():
        return Path(name)
    return run / "encoders" / check_name(name, "--encoder")


def encoder_read(run: Path, folder: Path, encoder: PatchEncoder, digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that reads an encoder, of this run or another."""
    parts = {WEIGHTS_PART: digests.digest(folder / WEIGHTS), INPUT_PART: digest(encoder.expects)}
    if folder.resolve().parent == (run / "encoders").resolve():
        place = f"encoders/{folder.name}"
        return Inputs(products={f"encoder: its {part}": (place, part, found) for part, found in parts.items()})
    # one of another run looks after itself
    where = f"file:{(folder / WEIGHTS).resolve()}"
    files = {f"encoder: its {WEIGHTS_PART}": (where, parts[WEIGHTS_PART])}
    return Inputs(values={f"encoder: its {INPUT_PART}": parts[INPUT_PART]}, files=files)


def check_tensors(path: Path, network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless a file holds all tensors of a network, running statistics too, and no other."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    wrong = [f"no {name}" for name in sorted(expected.keys() - given.keys())]
    wrong += [f"{name}, which the network does not have" for name in sorted(given.keys() - expected.keys())]
    wrong += [
        f"{name} of shape {given[name]} instead of {shape}"
        for name, shape in expected.items()
        if given.get(name, shape) != shape
    ]
    if wrong:
        found = "; ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        hint = "copy the encoder again, with the settings that it was trained with"
        raise CheckpointError(path, found=found, expected=f"all {len(expected)} tensors of the network", hint=hint)


def model_card(name: str, encoder: PatchEncoder, settings: PretrainConfig, facts: Mapping[str, Any]) -> str:
    """Return the model card as Markdown."""
    chosen = settings.objectives.model_dump(exclude_none=True)
    objectives = [
        f"{kind} ({', '.join(f'{key} {value}' for key, value in values.items())})" for kind, values in chosen.items()
    ]
    patches = settings.patches
    rows = {
        "Architecture": f"timm `{settings.encoder.name}`, {settings.encoder.in_chans} channel(s), "
        f"{sum(p.numel() for p in encoder.parameters()):,} parameters, {settings.encoder.weights} initial weights",
        "Input": f"{patches.size_px} x {patches.size_px} px at {patches.um_per_px:g} um/px "
        f"({patches.size_px * patches.um_per_px / 1000:.2f} mm), pial side up; "
        f"(intensity in 0..1 - {settings.augment.mean:g}) / {settings.augment.std:g}",
        "Output": f"{encoder.dim} features (pooled, before the projection head)",
        "Objective": "; ".join(objectives),
        "Steps": f"{settings.schedule.steps:,}"
        + ("" if settings.schedule.steps else " (not trained here: a baseline)"),
        "Batch": f"{settings.sampling.batch_size:,} patches, {counted(settings.views, 'view')}",
        **{key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in facts.items()},
        "Licence": "not stated: to be filled in by whoever publishes these weights; that of the images counts",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"""# {name}

An encoder of cortical patches, trained by cytomesh without labels of test sections.

| | |
|---|---|
{table}

```python
import cytomesh

encoder = cytomesh.load_encoder("path/to/{name}")
# patches: (n, {settings.encoder.in_chans}, {patches.size_px}, {patches.size_px}) uint8
features = encoder.embed(patches)  # (n, {encoder.dim}) float32
```

All settings: `config.yaml`; those that the weights need travel with them, in the metadata of `model.safetensors`.
Course of training: `metrics.jsonl`. Features are not invariant to staining, species or resolution beyond what the
training data and augmentation held.
"""
