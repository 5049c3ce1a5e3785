"""Trained encoders on disk: weights, settings and a model card, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cytomesh.core.config import load_config, write_config
from cytomesh.core.errors import CheckpointError, MissingStageError
from cytomesh.core.files import atomic_path, write_text
from cytomesh.core.random import isolated_seed
from cytomesh.pretrain.checkpoints import list_checkpoints
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder

WEIGHTS = "model.safetensors"


def build_encoder(settings: PretrainConfig) -> PatchEncoder:
    """Return an encoder with the weights that training begins with, on the CPU."""
    return PatchEncoder(settings.encoder, settings.patches, settings.augment)


def save_encoder(folder: Path, encoder: PatchEncoder, settings: PretrainConfig, facts: Mapping[str, Any]) -> None:
    """Write `config.yaml`, `README.md` (the model card) and, last, `model.safetensors`.

    Parameters
    ----------
    settings : PretrainConfig
        With `encoder.in_chans` set.
    facts : dict
        What the card says of data and scores, name to value.
    """
    write_text(folder / "config.yaml", write_config(settings))
    write_text(folder / "README.md", model_card(folder.name, encoder, settings, facts))
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.backbone.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt", "timm": settings.encoder.name})


def load_encoder(folder: Path | str) -> PatchEncoder:
    """Read an exported encoder, in evaluation mode on the CPU; `encoder.embed(patches)` gives features.

    Raises
    ------
    MissingStageError
        If there is no finished encoder.
    CheckpointError
        If the weights are truncated or of another model.
    """
    folder = Path(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        checkpoints = list_checkpoints(folder / "checkpoints")
        if checkpoints:
            found = f"training stopped after {int(checkpoints[-1].stem.removeprefix('step-')):,} steps, before its end"
            hint = f"run 'cytomesh pretrain --name {folder.name}' again with the same settings: it goes on from there"
            raise MissingStageError(path, found=found, hint=hint)
        known = sorted(item.parent.name for item in folder.parent.glob(f"*/{WEIGHTS}"))
        hint = f"run 'cytomesh pretrain' first, or choose one of: {', '.join(known) or 'none yet'}"
        raise MissingStageError(path, found="no trained encoder", hint=hint)
    settings = load_config(PretrainConfig, folder / "config.yaml", ["encoder.weights=random"])
    with isolated_seed(settings.seed, "init"):
        encoder = build_encoder(settings)
    try:
        encoder.backbone.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as cause:
        found = f"weights that cannot be used ({' '.join(str(cause).split())[:200]})"
        hint = "copy the encoder again, or run 'cytomesh pretrain' again (it exports from the last checkpoint)"
        raise CheckpointError(path, found=found, expected=f"those of {encoder.config.name}", hint=hint) from cause
    return encoder.eval()


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
        "Batch": f"{settings.sampling.batch_size:,} patches, {settings.views} view(s)",
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

All settings: `config.yaml`. Course of training: `metrics.jsonl`. Features are not invariant to staining, species or
resolution beyond what the training data and augmentation held.
"""
