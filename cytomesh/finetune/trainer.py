"""The course of fine-tuning: the network alone, then encoder and network together, in rounds."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.networks import reach
from cytomesh.core.errors import TrainingError
from cytomesh.core.learning import macro_f1, warm_up_cosine
from cytomesh.core.parallel import map_ahead
from cytomesh.core.progress import log, track
from cytomesh.core.random import derived_seed, isolated_seed
from cytomesh.finetune.config import FinetuneConfig
from cytomesh.finetune.model import JointModel, encode_nodes, fill
from cytomesh.finetune.nodes import TrainingNodes
from cytomesh.finetune.sampling import NodeBatch, NodeSampler
from cytomesh.imaging.augment import Augmentation
from cytomesh.pretrain.checkpoints import Checkpoint, load_best, save_best, save_checkpoint
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.monitor import MetricsLog
from cytomesh.pretrain.optimizer import parameter_groups
from cytomesh.pretrain.patches import PatchSource

HEAD_WARMUP = 0.1


@dataclass(frozen=True, slots=True)
class StepData:
    """A batch of nodes and their patches, (m, c, s, s) uint8 with their border."""

    batch: NodeBatch
    patches: NDArray[np.uint8]


class JointTrainer:
    """Train encoder and network by the areas of training nodes.

    A step encodes the patches of the nodes drawn, all of them with a gradient; at the end of a round all nodes are
    encoded, as embed does, and the network names the validation nodes on the whole graphs.

    Parameters
    ----------
    settings : FinetuneConfig
    pretrained : PretrainConfig
        The encoder's own: patch border and normalisation.
    model : JointModel
    nodes : TrainingNodes
    source : PatchSource
    folder : Path
        `metrics.jsonl`, `checkpoints/`.
    key : str
        Identity of settings and data.
    """

    def __init__(
        self,
        settings: FinetuneConfig,
        pretrained: PretrainConfig,
        model: JointModel,
        nodes: TrainingNodes,
        source: PatchSource,
        folder: Path,
        key: str,
    ) -> None:
        self.settings = settings
        self.model = model
        self.nodes = nodes
        self.source = source
        self.folder = folder
        self.key = key
        self.border_px = pretrained.patches.border_px
        expected = {name: getattr(pretrained.augment, name) for name in ("mean", "std")}
        self.augment = Augmentation(settings.augment.model_copy(update=expected))
        self.sampler = NodeSampler(nodes, reach(settings.model), settings.sampling.balance, settings.seed)
        self.edges = MeshEdges.from_adjacency(nodes.adjacency)
        self.device = model.centre.device
        self.targets = torch.from_numpy(nodes.targets).to(self.device)
        schedule = settings.schedule
        self.n_steps = schedule.rounds * schedule.steps_per_round
        peaks = (model.encoder, schedule.encoder_learning_rate), (model.network, schedule.network_learning_rate)
        self.optimizer = torch.optim.AdamW(
            [group | {"lr": peak} for part, peak in peaks for group in parameter_groups(part, schedule.weight_decay)]
        )
        self.peaks = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.round = 0
        self.score: dict[str, float] = {}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from the end of a round."""
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.round = checkpoint.step // self.settings.schedule.steps_per_round
        self.score = dict(checkpoint.score)

    def train(self) -> None:
        """Train to the last round, or until the score stalls; the model then holds the best weights.

        Raises
        ------
        TrainingError
            If the loss or its gradient is not finite.
        """
        metrics = MetricsLog(self.folder, self.round * self.settings.schedule.steps_per_round)
        with closing(metrics), isolated_seed(self.settings.seed, "finetune"):
            if not self.score:
                features = self._encode()
                self.model.standardise_on(features[torch.from_numpy(self.nodes.is_train)])
                self.train_network(self._inputs(features))
                self._finish_round(self._inputs(features), metrics, {})
            while not self._is_over():
                numbers = self._train_round()
                self.round += 1
                self._finish_round(self._inputs(self._encode()), metrics, numbers)
        self.model.load_state_dict(load_best(self.folder / "checkpoints", self.key))
        log(f"best validation macro-F1 {self.score['best']:.3f}, after round {self.score['best_round']:.0f}")

    def train_network(self, inputs: Tensor) -> None:
        """Train the network alone, on the inputs of all nodes, (n, d), and the whole graphs."""
        head, nodes = self.settings.head, self.nodes
        groups = parameter_groups(self.model.network, self.settings.schedule.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=head.learning_rate)
        rows = torch.from_numpy(np.flatnonzero(nodes.is_train)).to(self.device)
        wanted = self.targets[rows]
        # as often as seeds are drawn
        weights = torch.bincount(wanted, minlength=len(nodes.classes)).float() ** -self.settings.sampling.balance
        smoothing = self.settings.schedule.label_smoothing
        self.model.train()
        for step in track(range(head.steps), "network alone", unit="steps"):
            torch.manual_seed(derived_seed(self.settings.seed, "head", step))
            for group in optimizer.param_groups:
                group["lr"] = warm_up_cosine(step, head.steps, round(HEAD_WARMUP * head.steps), head.learning_rate)
            logits = self.model.network(inputs, self.edges)[rows]
            loss = functional.cross_entropy(logits, wanted, weights, label_smoothing=smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._check(loss, f"step {step} of the network alone")
            optimizer.step()

    def joint_loss(self, batch: NodeBatch, images: Tensor) -> Tensor:
        """Return the mean cross-entropy of a batch's targets, its nodes' images given as the encoder sees them."""
        n = batch.n_targets
        logits = self.model(images, batch.edges)[:n]
        wanted = self.targets[torch.from_numpy(batch.nodes[:n])]
        return functional.cross_entropy(logits, wanted, label_smoothing=self.settings.schedule.label_smoothing)

    def read(self, step: int) -> StepData:
        """Return the data of a step."""
        sampling = self.settings.sampling
        batch = self.sampler.draw(step, sampling.seeds_per_batch, sampling.neighbours)
        return StepData(batch, self.source.read(self.nodes.pool_row[batch.nodes]))

    def _train_round(self) -> dict[str, float]:
        """Train for a round; return numbers for its record."""
        schedule = self.settings.schedule
        began = time.perf_counter()
        first = self.round * schedule.steps_per_round
        steps = map_ahead(self.read, range(first, first + schedule.steps_per_round), self.settings.readers)
        self.model.train()
        losses, n_images = [], 0
        for step, data in enumerate(
            track(steps, f"round {self.round + 1}", total=schedule.steps_per_round, unit="steps"), first
        ):
            losses.append(self._step(step, data))
            n_images += len(data.patches)
        return {
            "loss": float(np.mean(losses)),
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
            "images_per_second": n_images / (time.perf_counter() - began),
        }

    def _step(self, step: int, data: StepData) -> float:
        seed = derived_seed(self.settings.seed, "step", step)
        torch.manual_seed(seed)  # dropout
        patches = torch.from_numpy(data.patches).to(self.device)
        images = self.augment(patches, torch.Generator().manual_seed(seed), self.border_px)
        rate = warm_up_cosine(step, self.n_steps, self.settings.schedule.warmup_steps)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.joint_loss(data.batch, images)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.schedule.clip_norm)
        self._check(loss + norm, f"step {step}")
        self.optimizer.step()
        return float(loss.detach())

    def _check(self, value: Tensor, place: str) -> None:
        if not math.isfinite(float(value.detach())):
            hint = "lower schedule.encoder_learning_rate, schedule.network_learning_rate or head.learning_rate"
            found = "a loss or gradient that is not finite"
            raise TrainingError(self.folder, place, found=found, expected="finite numbers", hint=hint)

    def _encode(self) -> Tensor:
        self.model.eval()
        return encode_nodes(self.model.encoder, self.source, self.nodes, self.border_px, self.settings.readers)

    def _inputs(self, features: Tensor) -> Tensor:
        return fill(self.model.standardise(features), self.nodes)

    def _finish_round(self, inputs: Tensor, metrics: MetricsLog, numbers: dict[str, float]) -> None:
        """Score the weights on validation nodes; write record and checkpoint, and the weights if they are the best."""
        step = self.round * self.settings.schedule.steps_per_round
        checkpoints = self.folder / "checkpoints"
        score = self.validate(inputs)
        metrics.write(step, {"round": self.round, "validation_macro_f1": score, **numbers})
        log(f"{self.folder.name}: round {self.round}, validation macro-F1 {score:.3f}")
        if not self.score:
            self.score = {"first": score, "best": -math.inf, "best_round": 0, "since": 0}
        if score > self.score["best"]:
            self.score |= {"best": score, "best_round": self.round, "since": 0}
            save_best(checkpoints, self.key, step, self.model.state_dict())
        else:
            self.score["since"] += 1
        states = self.model.state_dict(), self.optimizer.state_dict()
        checkpoint = Checkpoint(self.key, step, *states, scaler={}, average={}, score=self.score)
        save_checkpoint(checkpoints, checkpoint, self.settings.keep_checkpoints)

    def validate(self, inputs: Tensor) -> float:
        """Return macro-F1 of the validation nodes, from the inputs of all nodes, (n, d)."""
        self.model.eval()
        with torch.no_grad():
            logits = self.model.network(inputs, self.edges)
        rows = self.nodes.is_validation
        predicted = logits[torch.from_numpy(rows)].argmax(dim=1).cpu().numpy()
        return macro_f1(self.nodes.targets[rows], predicted)

    def _is_over(self) -> bool:
        schedule = self.settings.schedule
        return self.round >= schedule.rounds or self.score["since"] >= schedule.patience
