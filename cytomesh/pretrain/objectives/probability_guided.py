"""Probability-guided learning: patches are alike if they probably lie in the same area."""

from __future__ import annotations

from torch import Tensor

from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.objectives.base import Contrastive


class ProbabilityGuided(Contrastive):
    """Contrastive objective that pulls patches together by their area probabilities.

    w_ij = <p_i, p_j>, p_i the area probabilities at patch i, from the atlas; see `weighted_info_nce` for the loss. A
    patch outside all areas, or without an overlapping partner in the batch, has no weight and is no anchor.

    Examples
    --------
    >>> import torch
    >>> criterion = ProbabilityGuided()
    >>> vectors = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    >>> areas = torch.tensor([[0.8, 0.2], [0.9, 0.1], [0.0, 0.0]])  # the third lies outside all areas
    >>> bool(criterion(vectors, probability=areas) < 0.001)
    True
    """

    needs = frozenset({"maps"})

    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return w, (b, n)."""
        return batch.probability @ others.probability.T
