"""The model that settings describe, and the files of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cytomesh.classify.calibration import Calibrated
from cytomesh.classify.classifier import Classifier, Guarded, Task
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.kinds import CLASSIFIERS, LAYERS, classifier_kind
from cytomesh.classify.mean_field import MeanFieldCrf
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.prior import RegisteredPrior, WithPrior
from cytomesh.classify.pseudo_labels import SelfTrained
from cytomesh.core.distributed import World
from cytomesh.core.errors import CheckpointError
from cytomesh.core.files import atomic_path, read_json, write_json
from cytomesh.core.object_store import copy
from cytomesh.core.reading import reading, refuse_no_safetensors

if TYPE_CHECKING:
    import torch


def make_classifier(
    settings: ClassifyConfig,
    n_inputs: int,
    n_classes: int,
    device: torch.device,
    prior: RegisteredPrior | None = None,
) -> Classifier:
    """Build the classifier that the settings describe, not yet fitted; trainings on the same nodes share the prior."""
    kind, name = classifier_kind(settings.one_model), settings.one_model.kind
    is_own = name in (*CLASSIFIERS.own, *LAYERS)

    def make(n_inputs: int, n_classes: int) -> Classifier:
        task = Task(n_inputs, n_classes, settings.training, device)
        if is_own:
            model: Classifier = kind.from_settings(settings.one_model, task)
        else:
            model = Guarded.made(kind, name, settings.one_model, task)
        return SelfTrained(model, settings.pseudo_labels) if settings.pseudo_labels.rounds else model

    if settings.has_prior:
        is_input = settings.prior_is_input
        classifier: Classifier = WithPrior(make, settings.prior, n_inputs, n_classes, is_input=is_input, ready=prior)
    else:
        classifier = make(n_inputs, n_classes)
    keep_shares = settings.label_shift == "training"
    if settings.crf.hops or keep_shares:
        classifier = MeanFieldCrf(classifier, settings.crf, keep_shares=keep_shares)
    return Calibrated(classifier) if settings.calibration == "temperature" else classifier


def fit_classifier(
    settings: ClassifyConfig, data: NodeData, seed: int, device: torch.device, prior: RegisteredPrior | None = None
) -> tuple[Classifier, list[dict[str, float]]]:
    """Fit the classifier that the settings describe; returns it with its curve, one record per epoch.

    It predicts with the numbers that are stored: some models compute in float64, all are kept as float32.
    """
    classifier = make_classifier(settings, data.inputs.shape[1], data.classes.size, device, prior)
    curve = classifier.fit(data, seed)
    classifier.load(classifier.state())
    return classifier, curve


def fit_seed(
    folder: Path,
    data: NodeData,
    settings: ClassifyConfig,
    seed: int,
    ranks: World,
    prior: RegisteredPrior | None = None,
) -> tuple[NDArray[np.float32], list[dict[str, float]]]:
    """Train one model, or take it from an interrupted run; returns its probabilities for all nodes and its curve."""
    weights, curve_path = _seed_files(folder, seed)
    is_trained = ranks.told(curve_path.is_file())
    if is_trained:
        model = make_classifier(settings, data.inputs.shape[1], data.classes.size, ranks.device)
        model.load(load_state(weights))
        return model.probabilities(data), read_json(curve_path)
    model, curve = fit_classifier(settings, data, seed, ranks.device, prior)
    if ranks.is_main:
        save_state(weights, model.state())
        write_json(curve_path, curve)
    return model.probabilities(data), curve


def keep_seed(source: Path, folder: Path, seed: int) -> None:
    """Copy a training of one folder into another, for `fit_seed` to find."""
    for path, target in zip(_seed_files(source, seed), _seed_files(folder, seed), strict=True):
        copy(path, target, folder)


def _seed_files(folder: Path, seed: int) -> tuple[Path, Path]:
    """Return the weights of a training, and its curve, which is written after them: it says that they are whole."""
    return folder / f"seed-{seed}.safetensors", folder / f"seed-{seed}.curve.json"


def load_classifier(classifier: Classifier, path: Path) -> None:
    """Let a classifier take over the arrays of a file: all that it needs, and no other is left over.

    Raises
    ------
    CheckpointError
        If the file is damaged or of another model.
    """
    state = load_state(path)
    hint = "take back what was changed in model.json, or train again"
    with reading(path, CheckpointError, found="arrays of another shape", expected="all of this model", hint=hint):
        try:
            classifier.load(state)
        except KeyError as cause:
            raise CheckpointError(path, found=f"no array {cause}", expected="all of this model", hint=hint) from cause
    unused = sorted(state.keys() - classifier.state().keys())
    if unused:
        found = f"arrays that this model does not have: {', '.join(unused)}"
        raise CheckpointError(path, found=found, expected="those of this model", hint=hint)


def save_state(path: Path, state: dict[str, NDArray[np.float32]]) -> None:
    """Write learnt arrays as safetensors."""
    with atomic_path(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, temporary)


def load_state(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read learnt arrays.

    Raises
    ------
    CheckpointError
        If the file is truncated or no safetensors file.
    """
    hint = "remove it, or run again with --no-resume"
    with reading(path, CheckpointError, expected="safetensors", hint=hint, also=(SafetensorError,)):
        refuse_no_safetensors(path)
        state = dict(load_file(path))
        wrong = [name for name, values in state.items() if not np.isfinite(values).all()]
        if wrong:
            raise ValueError(f"values of {', '.join(wrong)} that are not finite")
        return state
