"""What travels with an encoder's weights: the settings that build the network and feed it right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cytomesh.core.config import read_yaml, validate_stored
from cytomesh.core.errors import CheckpointError, ConfigError, CytomeshError
from cytomesh.core.formats import FORMATS, check_format
from cytomesh.pretrain.config import PretrainConfig

KEY = "cytomesh"
"""Of the record in the metadata of the safetensors file, as JSON; `format` is taken there ("pt")."""
HOW_TRAINED = {"weights", "drop_path_rate", "activation_checkpointing"}
"""Settings of the encoder that its features do not depend on once it is trained."""
INPUT = {"patches": ("size_px", "um_per_px"), "augment": ("mean", "std")}
"""What patches have to be like."""


def pick_record(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the part of the settings of pretraining that belongs to the weights, by sections.

    Raises
    ------
    KeyError, TypeError, AttributeError
        If it is not all there.
    """
    encoder = {name: value for name, value in settings["encoder"].items() if name not in HOW_TRAINED}
    return {"encoder": encoder} | {group: {name: settings[group][name] for name in INPUT[group]} for group in INPUT}


def write_record(settings: PretrainConfig, digest: str) -> str:
    """Return the record as JSON text, with its version and the digest of the weights it belongs to."""
    facts = {"format": FORMATS["encoder"], "digest": digest}
    return json.dumps({**facts, **pick_record(settings.model_dump(mode="json"))})


def digest_of(metadata: Mapping[str, str]) -> str | None:
    """Return the digest of the weights that a record belongs to; None if it was written before there was one."""
    digest = json.loads(metadata[KEY]).get("digest") if KEY in metadata else None
    return None if digest is None else str(digest)


def read_record(weights: Path, metadata: Mapping[str, str]) -> PretrainConfig:
    """Return the settings that belong to weights; all others keep their defaults and mean nothing.

    Parameters
    ----------
    weights : Path
        The safetensors file. One without a record (format 0) belongs to the `config.yaml` beside it, of which nothing
        but what a record would hold is read.
    metadata : mapping of str to str
        Of that file.

    Raises
    ------
    CheckpointError
        If the record is damaged or incomplete, or `config.yaml` says otherwise.
    FormatError
        If it is of a newer format than this program knows.
    """
    config = weights.with_name("config.yaml")
    source, stored = weights, {}
    try:
        if KEY in metadata:
            stored = json.loads(metadata[KEY])
            check_format(weights, "encoder", stored.get("format"))
        else:
            source, stored = config, read_yaml(config, ConfigError)
        record = pick_record(stored)
    except CytomeshError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError) as cause:
        expected = "the encoder, and " + ", ".join(f"{group}.{name}" for group in INPUT for name in INPUT[group])
        found = f"no complete record of settings ({type(cause).__name__}: {cause})"
        raise CheckpointError(source, found=found, expected=expected, hint="copy the encoder again") from cause
    if KEY in metadata and config.is_file():
        _agrees(config, record)
    return validate_stored(PretrainConfig, record, str(source), CheckpointError)


def _agrees(config: Path, record: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise CheckpointError if settings of finished weights were changed: other patches would give other features."""
    written = read_yaml(config, ConfigError)
    sections = {group: written[group] if isinstance(written.get(group), dict) else {} for group in record}
    other = [
        f"{group}.{name} {sections[group].get(name)!r} instead of {value!r}"
        for group, values in record.items()
        for name, value in values.items()
        if sections[group].get(name) != value
    ]
    if other:
        expected = "the settings that the weights were trained with"
        hint = "take the change back; for another network, resolution or normalisation, train an encoder with it"
        raise CheckpointError(config, found="; ".join(other), expected=expected, hint=hint)
