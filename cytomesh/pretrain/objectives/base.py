"""What a contrastive objective is, and its loss in anybody's training loop."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.gather import gather_rows
from cytomesh.pretrain.info_nce import weighted_info_nce


class Objective(nn.Module):
    """A rule that weighs pairs of patches; the loss is `weighted_info_nce` of these weights.

    cytomesh's trainer asks for `weights`. Any other loop calls the objective itself, also under DDP::

        criterion = SpatialNCE(sigma_mm=3.0)
        loss = criterion(model(images), position=position_mm)
        loss.backward()
    """

    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return the (b, n) non-negative weights of the patches of a batch to others."""
        raise NotImplementedError

    def forward(self, vectors: Tensor, *, temperature: float = 0.1, **places: Tensor) -> Tensor:
        """Return the loss of a batch; with several ranks, of the patches of all of them.

        Vectors of all ranks are gathered with their gradient. Each rank returns its share times the number of ranks:
        DDP averages gradients over ranks, after which they are those of the mean over all anchors.

        Parameters
        ----------
        vectors : (b, d) float
            One a patch; brought to unit length.
        temperature : float
        **places : (b, ...) tensors
            What the objective needs of `PatchBatch`: position (mm), probability, area, section, brain, and node, by
            which views of one patch are known.

        Returns
        -------
        () tensor
        """
        unit = functional.normalize(vectors, dim=1)
        sizes, rank = _sizes(len(vectors), vectors.device)
        first, everything = sum(sizes[:rank]), {}
        for name, values in places.items():
            everything[name] = gather_rows(values.to(vectors.device).contiguous(), sizes)
        batch = PatchBatch.of(sum(sizes), vectors.device, **everything)
        mine = batch[first : first + len(vectors)]
        total, n_anchors = weighted_info_nce(
            unit,
            gather_rows(unit, sizes),
            lambda rows: self.weights(mine[rows], batch),
            temperature=temperature,
            first=first,
        )
        n_all = n_anchors.detach().clone()
        if len(sizes) > 1:
            dist.all_reduce(n_all)
        return len(sizes) * total / n_all.clamp(min=1).to(total.dtype)


def _sizes(n: int, device: torch.device) -> tuple[list[int], int]:
    """Return the number of patches of each rank, and this rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return [n], 0
    sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=device)
    sizes[dist.get_rank()] = n
    dist.all_reduce(sizes)
    return sizes.tolist(), dist.get_rank()
