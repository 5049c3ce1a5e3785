"""What features are worth while training goes on: areas of held-out sections, named from those of training sections."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.func import functional_call

from cytomesh.core.distributed import World
from cytomesh.core.errors import ConfigError
from cytomesh.core.learning import macro_f1
from cytomesh.core.random import generator
from cytomesh.imaging.augment import crop
from cytomesh.pretrain.config import MonitorConfig, PretrainConfig
from cytomesh.pretrain.encode import batch_slices, encode_patches
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.gather import gather_rows
from cytomesh.pretrain.patches import PatchSource
from cytomesh.pretrain.pool import PatchPool

KNN_TEMPERATURE = 0.07  # Wu et al., 2018


class Probe:
    """Score an encoder on annotated nodes of validation sections; test sections are never looked at.

    Parameters
    ----------
    pool : PatchPool
    source : PatchSource
    settings : PretrainConfig
    world : World
        Each rank encodes its share; all get the same scores.

    Raises
    ------
    ConfigError
        If no training or no validation section of a training brain is annotated.
    """

    def __init__(self, pool: PatchPool, source: PatchSource, settings: PretrainConfig, world: World) -> None:
        self.source = source
        self.world = world
        self.config: MonitorConfig = settings.monitor
        self.patches = settings.patches
        self.readers = settings.readers
        labels = [pool.annotation, pool.held_out]
        for label, role in zip(labels, ("train", "val"), strict=True):
            if not label.any():
                hint = f"annotate sections of role {role} in a brain of role train, or set monitor.every_steps: 0"
                raise ConfigError("monitor.every_steps", found=f"no annotated {role} section", hint=hint)
        rng = generator(settings.seed, "monitor")
        self.rows = [self._choose(rng, label) for label in labels]
        self.labels = [label[rows] for label, rows in zip(labels, self.rows, strict=True)]

    def scores(self, encoder: PatchEncoder, state: dict[str, Tensor]) -> dict[str, float]:
        """Return macro-F1 of k nearest neighbours (`knn`) and of a linear classifier (`linear`).

        Parameters
        ----------
        encoder : PatchEncoder
            In training mode again when this returns.
        state : dict
            Weights to score, by their name in the encoder.
        """
        is_training = encoder.training
        encoder.eval()
        try:
            train, held_out = (self._encode(encoder, state, rows) for rows in self.rows)
        finally:
            encoder.train(is_training)
        return {
            "knn": macro_f1(self.labels[1], knn(train, self.labels[0], held_out, self.config.neighbours)),
            "linear": macro_f1(self.labels[1], linear(train, self.labels[0], held_out)),
        }

    def _choose(self, rng: np.random.Generator, label: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = np.flatnonzero(label)
        return np.sort(rng.permutation(rows)[: self.config.n_nodes])

    @torch.no_grad()
    def _encode(self, encoder: PatchEncoder, state: dict[str, Tensor], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return features of pool rows, (n, d); shared out over the ranks."""
        parts = np.array_split(rows, self.world.size)
        mine = parts[self.world.rank]
        device = self.world.device

        def encode(patches: Tensor) -> Tensor:
            images = encoder.normalise(crop(patches, self.patches.border_px).to(device))
            features: Tensor = functional_call(encoder, state, (images,)).float()
            return features

        batches = [mine[batch] for batch in batch_slices(len(mine), self.patches.size_px, device)]
        blocks = list(encode_patches(encode, self.source.read, batches, readers=self.readers))
        features = torch.cat(blocks) if blocks else torch.empty((0, encoder.dim), device=device)
        everything: NDArray[np.float64] = gather_rows(features, [len(part) for part in parts]).double().cpu().numpy()
        return everything


def knn(
    train: NDArray[np.float64], labels: NDArray[np.int64], features: NDArray[np.float64], k: int
) -> NDArray[np.int64]:
    """Return the label that the k most similar training features vote for, weighed by exp(cosine / 0.07).

    Wu et al., "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018, section 3.4.
    """
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12) for x in (features, train))
    similarity = a @ b.T
    k = min(k, len(train))
    nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    weight = np.exp(np.take_along_axis(similarity, nearest, axis=1) / KNN_TEMPERATURE)
    areas, number = np.unique(labels, return_inverse=True)
    votes = np.zeros((len(features), len(areas)))
    np.add.at(votes, (np.arange(len(features))[:, None], number[nearest]), weight)
    return areas[votes.argmax(axis=1)]


def linear(train: NDArray[np.float64], labels: NDArray[np.int64], features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the labels that ridge regression onto area indicators gives; a closed form, fit for every few epochs."""
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0, class_weight="balanced"))
    predicted: NDArray[np.int64] = model.fit(train, labels).predict(features)
    return predicted
