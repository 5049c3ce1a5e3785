"""Networks over nodes trained with AdamW on all nodes at once or in parts, stopped by validation macro-F1."""

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

from cytomesh.classify.batches import Batch, make_batches, own, sum_gradients, sum_over_ranks
from cytomesh.classify.config import AttentionModel, ConvolutionModel, MlpModel, TrainingConfig
from cytomesh.classify.context import Floats
from cytomesh.classify.discriminant import Discriminant
from cytomesh.classify.metrics import macro_f1
from cytomesh.classify.networks import make_network
from cytomesh.classify.nodes import NodeData
from cytomesh.core.errors import CheckpointError, TrainingError
from cytomesh.core.progress import track
from cytomesh.core.random import generator, seed_everything

WARM_UP_SHARE = 0.05
PREFIX = "discriminant."
"""Of the arrays of LDA among the weights."""


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
            return self._fit(replace(part, inputs=self._network_inputs(part)), seed)

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes; under several ranks, all of them must ask."""
        inputs = self._network_inputs(data)
        batches = make_batches(self.settings, data, self.training.part_nodes)
        logits = self._logits(inputs, batches).cpu()
        if self.discriminant and self.settings.discriminant:
            vote = self.discriminant.log_probabilities(inputs)
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

    def _fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        settings, network = self.training, self.network
        if not network.needs_edges:
            data = data.part(data.is_train | data.is_validation)  # the others have no part in a perceptron's training
        batches = make_batches(self.settings, data, settings.part_nodes)
        is_train = data.is_train
        # Validation blocks may hold areas that training lacks.
        validation = np.flatnonzero(data.is_validation & (data.targets >= 0))
        targets = torch.from_numpy(data.targets).to(self.device)
        weights = _class_weights(targets[torch.from_numpy(is_train)], self.n_classes, settings.balance)
        criterion = nn.CrossEntropyLoss(weights, label_smoothing=settings.label_smoothing, reduction="sum")
        total = weights[targets[torch.from_numpy(is_train)]].sum()
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, settings.epochs))
        curve: list[dict[str, float]] = []
        best_score, best_epoch, best = -1.0, 0, _copy(network)
        for epoch in track(range(1, settings.epochs + 1), "training", unit="epochs"):
            network.train()
            optimiser.zero_grad()
            loss = torch.zeros(1, device=self.device)
            for batch in own(batches):
                if len(batches) > 1:  # what is dropped depends on the batch, not on which rank has it
                    torch.manual_seed(int(generator(seed, "batch", epoch, batch.index).integers(2**62)))
                rows = np.flatnonzero(is_train[batch.core])
                inputs = batch.load(data.inputs, self.device)
                seen = inputs + settings.noise * torch.randn_like(inputs) if settings.noise else inputs
                logits = network(seen, batch.edges)[torch.from_numpy(rows)]
                part = criterion(logits, targets[torch.from_numpy(batch.core[rows])]) / total
                part.backward()
                loss += part.detach()
            sum_gradients(network)
            optimiser.step()
            schedule.step()
            record: dict[str, float] = {"epoch": epoch, "loss": sum_over_ranks(loss).item()}
            curve.append(record)
            if not math.isfinite(record["loss"]):
                hint = "lower training.learning_rate"
                raise TrainingError("classify", f"epoch {epoch}", found="a loss that is not finite", hint=hint)
            if validation.size and (epoch % settings.validate_every == 0 or epoch == settings.epochs):
                logits = self._logits(data.inputs, batches)[torch.from_numpy(validation)]
                true = targets[torch.from_numpy(validation)]
                record["validation_loss"] = (criterion(logits, true) / weights[true].sum()).item()
                record["validation_macro_f1"] = macro_f1(
                    data.targets[validation], logits.argmax(1).cpu().numpy(), self.n_classes
                )
                if record["validation_macro_f1"] > best_score:
                    best_score, best_epoch, best = record["validation_macro_f1"], epoch, _copy(network)
                elif epoch - best_epoch >= settings.patience:
                    break
        if validation.size:
            network.load_state_dict(best)
        return curve

    def _logits(self, inputs: Floats, batches: list[Batch]) -> Tensor:
        """Return (n, k) logits of all nodes, from all ranks."""
        self.network.eval()
        logits = torch.zeros(len(inputs), self.n_classes, device=self.device)
        with torch.inference_mode():
            for batch in own(batches):
                found = self.network(batch.load(inputs, self.device), batch.edges)
                logits[torch.from_numpy(batch.core)] = found[: batch.n_core]
            return sum_over_ranks(logits)


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
