"""Networks over nodes trained with AdamW on all nodes at once or in parts, stopped by validation macro-F1."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from cytomesh.classify.batches import Batch, make_batches, own, steps_of_epoch, sum_gradients, sum_over_ranks
from cytomesh.classify.classifier import Classifier, ModelConfig, Task
from cytomesh.classify.discriminant import Discriminant
from cytomesh.classify.graph_layer import NetworkConfig
from cytomesh.classify.kinds import LOSSES, LossSettings
from cytomesh.classify.losses import CrossEntropyConfig, NodeLoss, training_targets
from cytomesh.classify.networks import MlpModel, make_network
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import Inputs, map_rows, take
from cytomesh.core.config import Config
from cytomesh.core.errors import CheckpointError, TrainingError
from cytomesh.core.learning import macro_f1, warm_up_cosine
from cytomesh.core.progress import track
from cytomesh.core.random import generator, isolated_seed
from cytomesh.graph.neighbourhoods import Floats

WARM_UP_SHARE = 0.05
ROWS_AT_ONCE = 65536
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""What cuBLAS asks for, to compute the same each time."""
PREFIX = "discriminant."
"""Of the arrays of LDA among the weights."""


class TrainingConfig(Config):
    """How networks are trained (logistic regression and LDA have their own solvers): AdamW."""

    part_nodes: int | None = Field(default=None, ge=1)
    """Nodes that go through a network together, with a halo of as many hops as it has layers; None: all. Under
    torchrun, ranks share the parts."""
    parts_per_step: int | None = Field(default=None, ge=1)
    """Parts that one step adds up, drawn without replacement over an epoch (mini-batches over regions and brains);
    None: all, so that `part_nodes` changes nothing but memory and time. A multiple of the ranks keeps all busy."""
    epochs: int = Field(default=150, ge=1)
    """At most this many passes over the training nodes; exactly this many without validation nodes."""
    learning_rate: float = Field(default=0.005, gt=0)
    """Peak of a cosine schedule with a short warm-up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decoupled weight decay."""
    loss: LossSettings = CrossEntropyConfig()
    """`cross_entropy`, `focal` or `logit_adjustment`."""
    balance: float = Field(default=0.5, ge=0, le=1)
    """Class weights n^-balance: 0 none, 1 every class counts the same."""
    noise: float = Field(default=0.0, ge=0)
    """SD of normal noise on the network's inputs, drawn in each epoch."""
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    """Probability mass spread over all classes in the target."""
    soft_labels: float = Field(default=0.0, ge=0, le=1)
    """Share of the probability maps (restricted to the trained areas) in the target, beside the label."""
    patience: int = Field(default=30, ge=1)
    """Stop after this many epochs without a better validation macro-F1; the best weights are kept."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs from one validation to the next."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What training learns from a batch, on the device.

    Parameters
    ----------
    batch : Batch
    rows : (r,) int64
        Its training nodes, among those that outputs are wanted for.
    targets : (r,) int64 or (r, k) float32
        See `training_targets`.
    total : () tensor
        Sum of their weights.
    """

    batch: Batch
    rows: Tensor
    targets: Tensor
    total: Tensor


Load = Callable[[Batch], Tensor]


class NeuralClassifier(Classifier):
    """A network with its training.

    Graph models see all nodes of the graphs they train on, labelled or not; labels of test nodes are never read.
    """

    Config: ClassVar[type[ModelConfig]] = MlpModel
    has_chance = True
    reads_in_parts = True

    def __init__(
        self,
        settings: NetworkConfig,
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
        with isolated_seed(0, "classify"):  # until fit or load
            self.network = self.new_network()

    @classmethod
    def from_settings(cls, settings: NetworkConfig, task: Task) -> Self:
        """Make a network with random weights, from settings of a perceptron or of a graph layer."""
        return cls(settings, task.training, task.n_inputs, task.n_classes, task.device)

    def new_network(self) -> nn.Module:
        """Return the network with random weights, on the device."""
        return make_network(self.settings, self.n_inputs, self.n_classes).to(self.device)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Train; returns one record per epoch: epoch, loss, and at validations validation_loss, validation_macro_f1.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        """
        with _deterministic(), isolated_seed(seed, "classify"):
            self.network = self.new_network()
            part = data.training_part()
            if self.settings.discriminant:
                rows = part.is_train
                shrinkage = self.settings.discriminant.shrinkage
                inputs = take(part.inputs, rows)
                self.discriminant = Discriminant.fit(inputs, part.targets[rows], self.n_classes, shrinkage)
            return self._fit(replace(part, inputs=self._network_inputs(part)), seed)

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes; under several ranks, all of them must ask."""
        inputs = self._network_inputs(data)
        batches = make_batches(self.settings, data, self.training.part_nodes)
        n = len(data.targets)
        logits = self._logits(self._loader(inputs, batches), n, batches, np.arange(n)).cpu()
        if self.discriminant and self.settings.discriminant:
            vote = map_rows(self.discriminant.log_probabilities, inputs)
            logits = logits.log_softmax(dim=1) + self.settings.discriminant.weight * torch.from_numpy(vote)
        for start in range(0, len(logits), ROWS_AT_ONCE):  # in place: with many nodes, a second such array is too much
            some = logits[start : start + ROWS_AT_ONCE]
            some.copy_(some.softmax(dim=1))
        return np.asarray(logits.numpy(), np.float32)

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

    def _network_inputs(self, data: NodeData) -> Inputs:
        return map_rows(self.discriminant.variates, data.inputs) if self.discriminant else data.inputs

    def _fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        settings, network = self.training, self.network
        if not network.needs_edges:
            data = data.part(data.is_train | data.is_validation)  # the others have no part in a perceptron's training
        batches = make_batches(self.settings, data, settings.part_nodes)
        # Validation blocks may hold areas that training lacks.
        validation = np.flatnonzero(data.is_validation & (data.targets >= 0))
        true = torch.from_numpy(data.targets[validation]).to(self.device)
        counts = np.bincount(data.targets[data.is_train], minlength=self.n_classes)
        loss = LOSSES[settings.loss.kind](settings.loss)
        weighing = torch.from_numpy(counts).to(self.device).float(), settings.balance, settings.label_smoothing
        criterion = NodeLoss(loss, *weighing)
        learning = [batch for batch in batches if data.is_train[batch.core].any()]
        n_steps = settings.epochs * len(steps_of_epoch(learning, settings.parts_per_step, seed, 1))
        warm_up = max(1, round(WARM_UP_SHARE * n_steps))
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_up_cosine(step, n_steps, warm_up))
        load = self._loader(data.inputs, batches)
        lessons = [self._lesson(data, batch, criterion) for batch in learning]
        curve: list[dict[str, float]] = []
        best_score, best_epoch, best = -1.0, 0, _copy(network)
        for epoch in track(range(1, settings.epochs + 1), "training", unit="epochs"):
            network.train()
            mean = self._epoch(lessons, load, criterion, optimiser, schedule, seed, epoch)
            record: dict[str, float] = {"epoch": epoch, "loss": mean}
            curve.append(record)
            if not math.isfinite(record["loss"]):
                hint = "lower training.learning_rate"
                raise TrainingError("classify", f"epoch {epoch}", found="a loss that is not finite", hint=hint)
            if validation.size and (epoch % settings.validate_every == 0 or epoch == settings.epochs):
                logits = self._logits(load, len(data.targets), batches, validation)
                record["validation_loss"] = (criterion(logits, true) / criterion.total(true)).item()
                record["validation_macro_f1"] = macro_f1(data.targets[validation], logits.argmax(1).cpu().numpy())
                if record["validation_macro_f1"] > best_score:
                    best_score, best_epoch, best = record["validation_macro_f1"], epoch, _copy(network)
                elif epoch - best_epoch >= settings.patience:
                    break
        if validation.size:
            network.load_state_dict(best)
        return curve

    def _epoch(
        self,
        lessons: list[Lesson],
        load: Load,
        criterion: NodeLoss,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        seed: int,
        epoch: int,
    ) -> float:
        """Take the steps of one epoch; returns the mean loss of the training nodes."""
        settings = self.training
        everything = torch.stack([lesson.total for lesson in lessons]).sum()
        loss = torch.zeros(1, device=self.device)
        for step in steps_of_epoch(lessons, settings.parts_per_step, seed, epoch):
            total = torch.stack([lesson.total for lesson in step]).sum()
            optimiser.zero_grad()
            for lesson in own(step):
                batch = lesson.batch
                if len(lessons) > 1:  # what is dropped depends on the batch, not on which rank has it
                    torch.manual_seed(int(generator(seed, "batch", epoch, batch.index).integers(2**62)))
                inputs = load(batch)
                seen = inputs + settings.noise * torch.randn_like(inputs) if settings.noise else inputs
                logits = self.network(seen, batch.edges)[lesson.rows]
                part = criterion(logits, lesson.targets) / total
                part.backward()  # type: ignore[no-untyped-call]
                loss += part.detach() * (total / everything)
            sum_gradients(self.network)
            optimiser.step()
            schedule.step()
        return sum_over_ranks(loss).item()

    def _lesson(self, data: NodeData, batch: Batch, criterion: NodeLoss) -> Lesson:
        rows = np.flatnonzero(data.is_train[batch.core])
        targets = training_targets(data, batch.core[rows], self.training.soft_labels, self.device)
        return Lesson(batch, torch.from_numpy(rows).to(self.device), targets, criterion.total(targets))

    def _loader(self, inputs: Inputs, batches: list[Batch]) -> Load:
        """Return how to get the inputs of a batch on the device; a single one's stay there."""
        if len(batches) > 1:
            return lambda batch: batch.load(inputs, self.device)
        kept = [batch.load(inputs, self.device) for batch in batches]
        return lambda batch: kept[batch.index]

    def _logits(self, load: Load, n: int, batches: list[Batch], rows: NDArray[np.int64]) -> Tensor:
        """Return (r, k) logits of some of n nodes, from all ranks."""
        self.network.eval()
        logits = torch.zeros(len(rows), self.n_classes, device=self.device)
        place = np.full(n, -1)
        place[rows] = np.arange(len(rows))
        with torch.inference_mode():
            for batch in own(batches):
                wanted = np.flatnonzero(place[batch.core] >= 0)
                if wanted.size:
                    found = self.network(load(batch), batch.edges)
                    there = torch.from_numpy(place[batch.core[wanted]]).to(self.device)
                    logits[there] = found[torch.from_numpy(wanted).to(self.device)]
            return sum_over_ranks(logits)


def _copy(network: nn.Module) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@contextmanager
def _deterministic() -> Iterator[None]:
    """Have torch compute the same each time, and as it did before on leaving."""
    is_on = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    has_workspace = WORKSPACE in os.environ
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(is_on, warn_only=only_warns)
        if not has_workspace:
            os.environ.pop(WORKSPACE, None)
