"""How far apart two patches lie: through the reference space, or along the cortex."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cytomesh.graph.geodesics import LocalGeodesics
from cytomesh.pretrain.batch import PatchBatch


class Distance(Protocol):
    """A symmetric distance between patches."""

    def __call__(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return the (b, n) distances, mm."""
        ...


class Euclidean:
    """Straight through the reference space.

    With a `normal_factor` f other than 1, what lies along the normal of the cortex counts f times:
    d^2 = t^2 + (f h)^2, where h^2 is the mean of the squared normal parts at both ends and t^2 + h^2 the squared
    distance: symmetric, and with f > 1 opposite banks of a sulcus are far apart.

    Parameters
    ----------
    normal_factor : float
        f.
    """

    def __init__(self, normal_factor: float = 1.0) -> None:
        self.normal_factor = normal_factor

    def __call__(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return the (b, n) distances, mm."""
        # the faster expansion by matrix product is wrong by 0.05 mm at distance 0 in single precision
        distance = torch.cdist(batch.position, others.position, compute_mode="donot_use_mm_for_euclid_dist")
        if self.normal_factor == 1.0:
            return distance
        # about a common centre, so that single precision keeps a micrometre
        centre = others.position.mean(dim=0)
        p, q = batch.position - centre, others.position - centre
        here = (p * batch.normal).sum(dim=1, keepdim=True) - batch.normal @ q.T
        there = p @ others.normal.T - (q * others.normal).sum(dim=1)
        normal2 = 0.5 * (here.square() + there.square())
        return (distance.square() + (self.normal_factor**2 - 1.0) * normal2).clamp(min=0).sqrt()


class Geodesic:
    """Along the reference midsurface, between the vertices nearest to the patches; infinite beyond the cached radius.

    Parameters
    ----------
    geodesics : LocalGeodesics
        Of the mesh that `PatchBatch.vertex` counts on.
    """

    def __init__(self, geodesics: LocalGeodesics) -> None:
        self.indptr = torch.from_numpy(geodesics.indptr)
        self.longest = int(np.diff(geodesics.indptr).max(initial=0))
        self.indices = torch.from_numpy(geodesics.indices)
        self.distances = torch.from_numpy(geodesics.distances)

    def __call__(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return the (b, n) distances, mm."""
        self._move(batch.vertex.device)
        distances = self.listed if batch.vertex.device.type == "cpu" else self.padded
        return distances(batch.vertex, others.vertex).to(batch.position.dtype)

    def listed(self, vertex: Tensor, others: Tensor) -> Tensor:
        """Return the distances of (b,) vertices to (n,) others: few of their pairs occur, and only these are listed."""
        # the patches of each vertex that occurs among the others stand one after the other in `order`
        order = others.argsort(stable=True)
        vertices, n_patches = torch.unique_consecutive(others[order], return_counts=True)
        first_patch = n_patches.cumsum(0) - n_patches
        slot = torch.full((len(self.indptr) - 1,), -1, dtype=torch.int32, device=order.device)
        slot[vertices] = torch.arange(len(vertices), dtype=torch.int32, device=order.device)
        begin = self.indptr[vertex]
        anchor, pair = _ranges(begin, self.indptr[vertex + 1] - begin)
        found = slot.index_select(0, self.indices.index_select(0, pair))
        kept = (found >= 0).nonzero()[:, 0]
        where = found[kept].long()
        which, patch = _ranges(first_patch[where], n_patches[where])
        kept = kept[which]
        distance = torch.full((len(vertex), len(others)), torch.inf, device=order.device)
        distance[anchor[kept], order[patch]] = self.distances[pair[kept]].float()
        return distance

    def padded(self, vertex: Tensor, others: Tensor) -> Tensor:
        """Return the same in shapes that do not depend on the values, for which a GPU would have to be waited for."""
        n = len(others)
        # one patch stands for all on its vertex; pairs that do not occur are written into a column of their own
        patch = torch.full((len(self.indptr) - 1,), n, device=others.device)
        patch[others] = torch.arange(n, device=others.device)
        begin, end = self.indptr[vertex, None], self.indptr[vertex + 1, None]
        pair = begin + torch.arange(self.longest, device=others.device)
        is_own = pair < end
        pair = pair.clamp(max=len(self.indices) - 1)
        distance = torch.full((len(vertex), n + 1), torch.inf, device=others.device)
        distance.scatter_(1, patch[self.indices[pair]].where(is_own, n), self.distances[pair].float())
        return distance[:, patch[others]]

    def _move(self, device: torch.device) -> None:
        if self.indptr.device != device:
            self.indptr, self.indices = self.indptr.to(device), self.indices.to(device)
            self.distances = self.distances.to(device)


def _ranges(begin: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for ranges of integers one after the other, the number of the range and the integer of each entry."""
    number = torch.repeat_interleave(length)
    ends = length.cumsum(0)
    return number, torch.arange(len(number), device=number.device) + (begin - ends + length).index_select(0, number)
