"""Training of a decoder on patches of training nodes, kept at its best on validation nodes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cytomesh.analyze.layers.classes import IGNORE, N_CLASSES
from cytomesh.analyze.layers.config import DecoderConfig, TrainingConfig
from cytomesh.analyze.layers.decoder import LayerDecoder
from cytomesh.analyze.layers.dense import DenseEncoder
from cytomesh.analyze.layers.ribbon import Grid
from cytomesh.analyze.layers.tiles import patch_points, read_depths
from cytomesh.core.errors import TrainingError
from cytomesh.core.learning import macro_f1, warm_up_cosine
from cytomesh.core.parallel import map_ahead
from cytomesh.core.progress import log, track
from cytomesh.core.random import derived_seed, generator, isolated_seed
from cytomesh.imaging.augment import Augmentation, AugmentConfig
from cytomesh.imaging.patches import read_patches
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.optimizer import parameter_groups
from cytomesh.pretrain.patches import OpenImages
from cytomesh.pretrain.pool import SectionPatches
from cytomesh.study.annotation import AnnotationImage

WARM_UP_SHARE = 0.1
OPEN_IMAGES = 32
READERS = 2


@dataclass(frozen=True, slots=True)
class DrawnPatches:
    """Patches of one section whose layers are known.

    Parameters
    ----------
    patches : SectionPatches
    truth : AnnotationImage
        Classes at pixels of the section's image.
    field : (h, w) float32
        Depth, see `depth_field`.
    grid : Grid
        Its pixels.
    is_validation : bool
    """

    patches: SectionPatches
    truth: AnnotationImage
    field: NDArray[np.float32]
    grid: Grid
    is_validation: bool


class Segmenter(nn.Module):
    """An encoder with its decoder: normalised patches and depth to logits of classes.

    Parameters
    ----------
    name : str
        Of the encoder.
    encoder : PatchEncoder
    config : DecoderConfig
    um_per_px : float
        Pixel size of the segmentation; a tile has a whole number of such pixels, nearly.
    """

    def __init__(self, name: str, encoder: PatchEncoder, config: DecoderConfig, um_per_px: float) -> None:
        super().__init__()
        size_px = max(2, round(encoder.patches.size_px * encoder.patches.um_per_px / um_per_px))
        self.name = name
        self.dense = DenseEncoder(name, encoder, config.maps)
        self.decoder = LayerDecoder(self.dense.channels, config, size_px)
        self.normalise = encoder.normalise

    @property
    def encoder(self) -> PatchEncoder:
        """The encoder."""
        return self.dense.encoder

    def forward(self, images: Tensor, depths: Tensor) -> Tensor:
        """Return logits, (n, 8, o, o), of normalised images, (n, c, s, s), and depths, (n, o, o)."""
        logits: Tensor = self.decoder(self.dense(images), images, depths)
        return logits

    @torch.inference_mode()
    def probabilities(self, patches: NDArray[np.uint8], depths: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each class, (n, 8, o, o), in patches, (n, c, s, s) uint8, at depths, (n, o, o)."""
        device = next(self.parameters()).device
        images, at = torch.from_numpy(patches).to(device), torch.from_numpy(depths).to(device)
        return self(self.normalise(images), at).float().softmax(dim=1).cpu().numpy()


def read_truth_patches(
    truth: AnnotationImage, pixels: NDArray[np.float64], angles_deg: NDArray[np.float64], size_px: int, um_per_px: float
) -> NDArray[np.int32]:
    """Return the classes in patches, (n, size_px, size_px), of the nearest pixel; see `patch_points`."""
    at = patch_points(pixels, angles_deg, size_px, um_per_px / truth.image_um_per_px)
    return truth.sample(at.reshape(-1, 2)).reshape(at.shape[:3])


def train_segmenter(
    model: Segmenter, drawn: Sequence[DrawnPatches], settings: TrainingConfig, seed: int
) -> list[dict[str, float]]:
    """Train a decoder, and the encoder if so wanted; the model then holds the weights best on validation pixels.

    Parameters
    ----------
    model : Segmenter
    drawn : sequence of DrawnPatches
        Of training and validation sections.

    Returns
    -------
    list of dict
        step, loss and, at validations, validation_macro_f1.

    Raises
    ------
    TrainingError
        If the loss is not finite.
    """
    training = [part for part in drawn if not part.is_validation]
    reader = _Reader(model)
    held_out = reader.fixed([part for part in drawn if part.is_validation], settings.validation_patches)
    device = next(model.parameters()).device
    weights = _class_weights(reader.fixed(training, settings.validation_patches), settings.balance).to(device)
    augment = _augmentation(model, settings)
    for parameter in model.encoder.parameters():
        parameter.requires_grad_(settings.fine_tune)
    rates: list[tuple[nn.Module, float]] = [(model.decoder, settings.learning_rate)]
    rates += [(model.encoder, settings.encoder_rate)] if settings.fine_tune else []
    groups = [
        g | {"lr": rate, "peak": rate} for part, rate in rates for g in parameter_groups(part, settings.weight_decay)
    ]
    optimizer = torch.optim.AdamW(groups)
    curve: list[dict[str, float]] = []
    best: tuple[float, dict[str, Tensor]] = (-1.0, {})
    batches = map_ahead(lambda step: reader.batch(training, settings, seed, step), range(settings.steps), READERS)
    with closing(batches), isolated_seed(seed, "layers", model.name):
        _to_training(model)
        for step, (patches, depths, classes) in enumerate(
            track(batches, f"layers of {model.name}", settings.steps, unit="steps")
        ):
            for group in optimizer.param_groups:
                group["lr"] = warm_up_cosine(step, settings.steps, round(WARM_UP_SHARE * settings.steps), group["peak"])
            random = torch.Generator().manual_seed(derived_seed(seed, "augment", step))
            images = augment(torch.from_numpy(patches).to(device), random)
            logits = model(images, torch.from_numpy(depths).to(device))
            targets = torch.from_numpy(classes).long().to(device)
            loss = functional.cross_entropy(logits, targets, weights, ignore_index=IGNORE)
            if not torch.isfinite(loss):
                hint = "lower training.learning_rate"
                raise TrainingError(
                    f"layers of {model.name}", f"step {step}", found="a loss that is not finite", hint=hint
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            record = {"step": step + 1.0, "loss": float(loss.detach())}
            if held_out and ((step + 1) % settings.validate_every == 0 or step + 1 == settings.steps):
                record["validation_macro_f1"] = validated(model, held_out)
                if record["validation_macro_f1"] > best[0]:
                    best = (record["validation_macro_f1"], copy.deepcopy(model.state_dict()))
                _to_training(model)
            curve.append(record)
    if best[1]:
        model.load_state_dict(best[1])
        log(f"layers of {model.name}: decoder alone, pixel by pixel: validation macro-F1 {best[0]:.3f}")
    model.eval()
    return curve


def _to_training(model: Segmenter) -> None:
    """Only the decoder: a frozen encoder's running statistics stay, and a tuned one's are too good to be given up."""
    model.eval()
    model.decoder.train()


Drawn = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]


class _Reader:
    """Patches with their depths and classes."""

    def __init__(self, model: Segmenter) -> None:
        self.patches, self.size_px = model.encoder.patches, model.decoder.size_px
        self.images = OpenImages(OPEN_IMAGES)

    def read(self, part: DrawnPatches, pixels: NDArray[np.float64], angles: NDArray[np.float64]) -> Drawn:
        """Return patches (n, c, s, s), depths (n, o, o) and classes (n, o, o)."""
        section, side, um = part.patches.section, self.patches.size_px, self.patches.um_per_px
        image = self.images[part.patches.section]
        patches = read_patches(image, section.um_per_px, pixels, angles, side, um)
        tile_um = side * um / self.size_px
        depths = read_depths(part.field, part.grid, pixels, angles, self.size_px, tile_um / section.um_per_px)
        return patches, depths, read_truth_patches(part.truth, pixels, angles, self.size_px, tile_um)

    def batch(self, parts: Sequence[DrawnPatches], settings: TrainingConfig, seed: int, step: int) -> Drawn:
        """Return randomly drawn patches, moved, turned and mirrored; the same for a step, whoever asks."""
        random = generator(seed, "layers", step)
        counts = np.cumsum([0, *(len(part.patches.rows) for part in parts)])
        drawn = np.sort(random.integers(counts[-1], size=settings.batch_size))
        moves = random.uniform(-1, 1, (settings.batch_size, 3))
        is_mirrored = random.random(settings.batch_size) < 0.5
        read = []
        for number in np.unique(np.searchsorted(counts, drawn, "right") - 1):
            part, mine = parts[number], (drawn >= counts[number]) & (drawn < counts[number + 1])
            rows = drawn[mine] - counts[number]
            shift_px = 1000 * settings.shift_mm / part.patches.section.um_per_px * moves[mine, :2]
            angles = part.patches.angles_deg[rows] + settings.rotation_deg * moves[mine, 2]
            read.append(self.read(part, part.patches.pixels[rows] + shift_px, angles))
        patches, depths, classes = (np.concatenate(values) for values in zip(*read, strict=True))
        for values in (patches, depths, classes):
            values[is_mirrored] = values[is_mirrored, ..., ::-1]
        return patches, depths, classes

    def fixed(self, parts: Sequence[DrawnPatches], at_most: int) -> list[Drawn]:
        """Return at most so many patches, evenly drawn, by section."""
        total = sum(len(part.patches.rows) for part in parts)
        chosen = np.unique(np.linspace(0, total - 1, min(total, at_most)).round().astype(int))
        found, start = [], 0
        for part in parts:
            rows = chosen[(chosen >= start) & (chosen < start + len(part.patches.rows))] - start
            start += len(part.patches.rows)
            if len(rows):
                found.append(self.read(part, part.patches.pixels[rows], part.patches.angles_deg[rows]))
        return found


def _class_weights(drawn: Sequence[Drawn], balance: float) -> Tensor:
    counts = np.zeros(N_CLASSES)
    for _, _, classes in drawn:
        counts += np.bincount(classes[classes >= 0], minlength=N_CLASSES)[:N_CLASSES]
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -balance, 0.0)
    return torch.from_numpy((weights / weights[counts > 0].mean()).astype(np.float32))


def _augmentation(model: Segmenter, settings: TrainingConfig) -> Augmentation:
    names = ("intensity_scale", "intensity_offset", "gamma")
    expected = {name: getattr(model.encoder.normalisation, name) for name in ("mean", "std")}
    return Augmentation(AugmentConfig(**{name: getattr(settings, name) for name in names}, **expected))


def validated(model: Segmenter, drawn: Sequence[Drawn]) -> float:
    """Return the macro-F1 over the pixels of patches; the model is left in evaluation mode."""
    model.eval()
    found = [model.probabilities(patches, depths).argmax(axis=1) for patches, depths, _ in drawn]
    predicted = np.concatenate([classes.ravel() for classes in found])
    truth = np.concatenate([classes.ravel() for _, _, classes in drawn])
    known = truth != IGNORE
    return macro_f1(truth[known].astype(np.int64), predicted[known])
