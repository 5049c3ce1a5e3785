"""Networks over nodes trained with AdamW on full batches, stopped by validation macro-F1."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.config import AttentionModel, ConvolutionModel, MlpModel, TrainingConfig
from cytomesh.classify.context import Floats
from cytomesh.classify.discriminant import Discriminant
from cytomesh.classify.metrics import macro_f1
from cytomesh.classify.networks import make_network
from cytomesh.classify.nodes import NodeData
from cytomesh.core.errors import CheckpointError, TrainingError
from cytomesh.core.progress import track
from cytomesh.core.random import seed_everything

WARM_UP_SHARE = 0.05
PREFIX = "discriminant."
"""Of the arrays of LDA among the weights."""
NO_EDGES = MeshEdges(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


class NeuralClassifier:
    """A network with its training.

    Graph models see all nodes of the graphs they train on, labelled or not; labels of test nodes are never read.
    """

    def __init__(
        self,
        settings: MlpModel | AttentionModel | ConvolutionModel,
        training: TrainingConfig,
        n_inputs: int,
        n_classes: int,
        device: torch.device,
    ) -> None:
        self.settings, self.training, self.device = settings, training, device
        self.n_inputs, self.n_classes = n_inputs, n_classes
        if settings.discriminant:
            self.n_inputs = min(n_inputs, n_classes - 1)
        self.discriminant: Discriminant | None = None
        self.network: nn.Module = make_network(settings, self.n_inputs, n_classes).to(device)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Train; returns one record an epoch: epoch, loss, and at validations validation_loss, validation_macro_f1.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        """
        with _deterministic():
            seed_everything(seed, "classify")
            self.network = make_network(self.settings, self.n_inputs, self.n_classes).to(self.device)
            part = data.training_part()
            if self.settings.discriminant:
                rows = part.is_train
                shrinkage = self.settings.discriminant.shrinkage
                self.discriminant = Discriminant.fit(part.inputs[rows], part.targets[rows], self.n_classes, shrinkage)
            return self._fit(replace(part, inputs=self._network_inputs(part)))

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        edges = MeshEdges.from_adjacency(data.adjacency) if self.network.needs_edges else NO_EDGES
        self.network.eval()
        with torch.inference_mode():
            inputs = self._network_inputs(data)
            logits = self.network(torch.from_numpy(inputs).to(self.device), edges).cpu()
            if self.discriminant and self.settings.discriminant:
                vote = self.discriminant.log_probabilities(inputs, self.settings.discriminant.temperature)
                logits = logits.log_softmax(dim=1) + self.settings.discriminant.weight * torch.from_numpy(vote)
            return np.asarray(logits.softmax(dim=1).numpy(), np.float32)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        state = {name: tensor.detach().cpu().numpy() for name, tensor in self.network.state_dict().items()}
        if self.discriminant:
            state |= {PREFIX + name: array for name, array in self.discriminant.state().items()}
        return state

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over trained weights."""
        of_lda = {name.removeprefix(PREFIX): array for name, array in state.items() if name.startswith(PREFIX)}
        state = {name: array for name, array in state.items() if not name.startswith(PREFIX)}
        self.discriminant = Discriminant(**of_lda) if of_lda else None
        try:
            self.network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        except RuntimeError as cause:
            raise CheckpointError(
                "model", found=" ".join(str(cause).split()), expected="weights of this model"
            ) from cause

    def _network_inputs(self, data: NodeData) -> Floats:
        return self.discriminant.variates(data.inputs) if self.discriminant else data.inputs

    def _fit(self, data: NodeData) -> list[dict[str, float]]:
        settings, network = self.training, self.network
        rows = np.ones(len(data.targets), bool)
        if not network.needs_edges:
            rows = data.is_train | data.is_validation  # the others have no part in a perceptron's training
        edges = MeshEdges.from_adjacency(data.adjacency) if network.needs_edges else NO_EDGES
        inputs = torch.from_numpy(data.inputs[rows]).to(self.device)
        targets = torch.from_numpy(data.targets[rows]).to(self.device)
        train = torch.from_numpy(np.flatnonzero(data.is_train[rows])).to(self.device)
        # Validation blocks may hold areas that training lacks.
        is_validation = data.is_validation & (data.targets >= 0)
        validation = torch.from_numpy(np.flatnonzero(is_validation[rows])).to(self.device)
        weights = _class_weights(targets[train], self.n_classes, settings.balance)
        criterion = nn.CrossEntropyLoss(weights, label_smoothing=settings.label_smoothing)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, settings.epochs))
        curve: list[dict[str, float]] = []
        best_score, best_epoch, best = -1.0, 0, _copy(network)
        for epoch in track(range(1, settings.epochs + 1), "training", unit="epochs"):
            network.train()
            optimiser.zero_grad()
            seen = inputs + settings.noise * torch.randn_like(inputs) if settings.noise else inputs
            loss = criterion(network(seen, edges)[train], targets[train])
            loss.backward()
            optimiser.step()
            schedule.step()
            record: dict[str, float] = {"epoch": epoch, "loss": loss.item()}
            curve.append(record)
            if not math.isfinite(record["loss"]):
                hint = "lower training.learning_rate"
                raise TrainingError("classify", f"epoch {epoch}", found="a loss that is not finite", hint=hint)
            if validation.numel() and (epoch % settings.validate_every == 0 or epoch == settings.epochs):
                record |= self._validate(inputs, edges, targets, validation, criterion)
                if record["validation_macro_f1"] > best_score:
                    best_score, best_epoch, best = record["validation_macro_f1"], epoch, _copy(network)
                elif epoch - best_epoch >= settings.patience:
                    break
        if validation.numel():
            network.load_state_dict(best)
        return curve

    def _validate(
        self, inputs: Tensor, edges: MeshEdges, targets: Tensor, validation: Tensor, criterion: nn.Module
    ) -> dict[str, float]:
        self.network.eval()
        with torch.inference_mode():
            logits = self.network(inputs, edges)[validation]
            loss = criterion(logits, targets[validation]).item()
        score = macro_f1(targets[validation].cpu().numpy(), logits.argmax(1).cpu().numpy(), self.n_classes)
        return {"validation_loss": loss, "validation_macro_f1": score}


def _class_weights(targets: Tensor, n_classes: int, balance: float) -> Tensor:
    counts = torch.bincount(targets, minlength=n_classes).float()
    weights = counts.clamp(min=1) ** -balance
    return weights * (counts.sum() / (counts * weights).sum())  # mean weight of a node: 1


def _rate(step: int, epochs: int) -> float:
    warm_up = max(1, round(WARM_UP_SHARE * epochs))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, epochs - warm_up)))


def _copy(network: nn.Module) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@contextmanager
def _deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
