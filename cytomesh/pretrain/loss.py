"""The loss of a batch: a weighted sum of objectives over the patches of all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.gather import gather_rows
from cytomesh.pretrain.info_nce import CHUNK_ELEMENTS
from cytomesh.pretrain.objectives.base import Contrastive, Objective
from cytomesh.pretrain.objectives.supervised import Supervised


class Outputs(NamedTuple):
    """What a model gives for this rank's patches; None for a head that no objective needs.

    Parameters
    ----------
    vectors : (b, d)
        Unit vectors of the projection head.
    logits : (b, c)
        Of the linear classifier.
    """

    vectors: Tensor | None = None
    logits: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """One objective in the sum.

    Parameters
    ----------
    name : str
        Name in the metrics.
    objective : Objective
        Contrastive (on the vectors), or supervised (on the logits).
    temperature : float
        Of a contrastive objective.
    weight : float
        Factor in the sum.
    """

    name: str
    objective: Objective
    temperature: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LossValue:
    """The loss of one step.

    Parameters
    ----------
    for_backward : () tensor
        What this rank differentiates: DDP averages over ranks, after which the gradient is that of `mean`.
    mean : dict of str to () tensor
        Mean loss over the anchors of all ranks, of each term, detached.
    n_anchors : dict of str to () tensor
        Anchors with weight, of all ranks, of each term.
    total : () tensor
        Weighted sum of the means, detached.
    """

    for_backward: Tensor
    mean: dict[str, Tensor]
    n_anchors: dict[str, Tensor]
    total: Tensor


def batch_loss(
    outputs: Outputs,
    everything: PatchBatch,
    sizes: Sequence[int],
    rank: int,
    terms: Sequence[Term],
    *,
    chunk_elements: int = CHUNK_ELEMENTS,
) -> LossValue:
    """Return the loss of this rank's patches, contrasted with those of all ranks.

    Every rank holds only its own rows of the (n, n) problem. The mean runs over the anchors of all ranks; since DDP
    averages gradients over ranks, each rank's share is multiplied by their number.

    Parameters
    ----------
    outputs : Outputs
        Of this rank's patches.
    everything : PatchBatch
        The patches of all ranks, one rank's after the other's, on the device of `outputs`: the sampler is
        deterministic, so that every rank knows them all without a message.
    sizes : sequence of int
        Number of patches of each rank; b of this one.
    rank : int
        This rank.
    terms : sequence of Term
    chunk_elements : int
        See `weighted_info_nce`.
    """
    first = sum(sizes[:rank])
    mine = everything[first : first + sizes[rank]]
    others = None if outputs.vectors is None else gather_rows(outputs.vectors, sizes)
    totals, counts = [], []
    for term in terms:
        if isinstance(term.objective, Supervised):
            assert outputs.logits is not None
            total, count = term.objective.total(outputs.logits, mine)
        else:
            assert isinstance(term.objective, Contrastive)
            assert outputs.vectors is not None
            assert others is not None
            total, count = term.objective.total(
                outputs.vectors,
                others,
                mine,
                everything,
                temperature=term.temperature,
                first=first,
                chunk_elements=chunk_elements,
            )
        totals.append(total)
        counts.append(count)
    sums = torch.stack([*(total.detach().double() for total in totals), *(count.double() for count in counts)])
    if len(sizes) > 1:
        dist.all_reduce(sums)
    n_anchors = sums[len(terms) :].clamp(min=1)
    means = sums[: len(terms)] / n_anchors
    shares = [
        term.weight * len(sizes) * total / n
        for term, total, n in zip(terms, totals, n_anchors.to(totals[0].dtype), strict=True)
    ]
    names = [term.name for term in terms]
    return LossValue(
        for_backward=torch.stack(shares).sum(),
        mean=dict(zip(names, means, strict=True)),
        n_anchors=dict(zip(names, sums[len(terms) :], strict=True)),
        total=torch.stack([term.weight * mean for term, mean in zip(terms, means, strict=True)]).sum(),
    )
