"""Trained decoders on disk: written by `segment-layers`, loaded to segment patches anywhere."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.training import Segmenter
from cytomesh.core.config import load_config
from cytomesh.core.errors import DamagedError, MissingStageError, did_you_mean
from cytomesh.core.files import atomic_path, read_json
from cytomesh.core.reading import reading
from cytomesh.pretrain.export import load_encoder

DECODER, ENCODER = "decoder.", "dense.encoder."


def save_segmenter(folder: Path, model: Segmenter, with_encoder: bool) -> None:
    """Write `folder/<encoder>.safetensors`: the decoder and, where it was tuned, the encoder."""
    kept = (DECODER, ENCODER) if with_encoder else (DECODER,)
    state = {key: value for key, value in model.state_dict().items() if key.startswith(kept)}
    with atomic_path(_path(folder, model.name)) as temporary:
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, temporary)


def load_segmenter(folder: Path, encoder: Path) -> Segmenter:
    """Load a decoder with its encoder, in evaluation mode; see `Segmenter.probabilities`.

    Parameters
    ----------
    folder : Path
        Of the analysis, `RUN/analyze/<name>`.
    encoder : Path
        Folder of the encoder that it was trained on, `RUN/encoders/<name>`.

    Raises
    ------
    MissingStageError
        If the analysis has no decoder for this encoder.
    DamagedError
        If what is stored is not the weights of such a decoder.
    """
    path, settings = _path(folder, encoder.resolve().name), load_config(LayersConfig, folder / "config.yaml")
    if not path.is_file():
        there = sorted(file.stem for file in folder.glob("*.safetensors"))
        hint = did_you_mean(path.stem, there, f"encoders with a decoder there: {', '.join(there) or 'none'}")
        raise MissingStageError(path, found="no such decoder", hint=hint)
    with reading(folder / "metrics.json"):
        um_per_px = float(read_json(folder / "metrics.json")["um_per_px"])
    model = Segmenter(path.stem, load_encoder(encoder), settings.decoder, um_per_px)
    # a weight of another shape is a RuntimeError of torch
    with reading(path, DamagedError, expected="weights of a decoder", also=(SafetensorError, RuntimeError)):
        state = load_file(path)
        missing, unknown = model.load_state_dict(state, strict=False)
        if unknown or any(key.startswith(DECODER) for key in missing):
            raise ValueError(f"{len(unknown)} unknown and {len(missing)} missing weights")
    return model.eval()


def _path(folder: Path, encoder: str) -> Path:
    return folder / f"{encoder}.safetensors"
