"""The loss term by term, slow on purpose, and random batches with every special case in them."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from cytomesh.graph.geodesics import LocalGeodesics, local_geodesics
from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.distance import Euclidean, Geodesic
from cytomesh.pretrain.loss import Term
from cytomesh.pretrain.objectives.probability_guided import ProbabilityGuided
from cytomesh.pretrain.objectives.simclr import SimCLR
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCE
from cytomesh.pretrain.objectives.supervised import Supervised
from cytomesh.pretrain.objectives.supervised_contrastive import SupervisedContrastive
from tests.conftest import sphere_mesh


def info_nce_by_loops(z: Tensor, w: list[list[float]], tau: float) -> tuple[Tensor, int]:
    """Mean of L_i over the anchors that have weight, and their number; differentiable through autograd."""
    total, n_anchors = torch.zeros((), dtype=z.dtype), 0
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        weight = sum(w[i][j] for j in others)
        if weight == 0:
            continue
        n_anchors += 1
        norm = sum(torch.exp(z[i] @ z[k] / tau) for k in others)
        for j in others:
            total = total - w[i][j] / weight * torch.log(torch.exp(z[i] @ z[j] / tau) / norm)
    return total / max(n_anchors, 1), n_anchors


def distance(a: Tensor, b: Tensor) -> float:
    return math.sqrt(sum(float(x - y) ** 2 for x, y in zip(a, b, strict=True)))


N_AREAS = 5
SURFACE = sphere_mesh(1, 8.0)


def surface_geodesics(reach_mm: float) -> LocalGeodesics:
    """Distances on the small sphere that the vertices of `random_batch` belong to."""
    return local_geodesics(SURFACE, reach_mm, threads=1)


def random_batch(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> PatchBatch:
    """Patches of 2 brains with 3 sections each; some without area or probabilities, the last two views of one patch."""
    draw = torch.Generator().manual_seed(seed)
    node = torch.arange(n)
    position = torch.rand((n, 3), generator=draw, dtype=torch.float64) * 8
    section = torch.randint(0, 6, (n,), generator=draw)
    area = torch.randint(0, N_AREAS + 1, (n,), generator=draw)
    probability = torch.rand((n, N_AREAS), generator=draw, dtype=torch.float64)
    probability[torch.rand((n, N_AREAS), generator=draw) < 0.6] = 0
    probability[0] = 0
    normal = torch.nn.functional.normalize(torch.randn((n, 3), generator=draw, dtype=torch.float64), dim=1)
    vertex = torch.randint(0, SURFACE.n_vertices, (n,), generator=draw)
    vertex[2] = vertex[3]  # two patches that stand for the same vertex
    position[1] = 1000.0  # far from everything
    for column in (node, position, normal, vertex, section, area, probability):
        column[-1] = column[-2]
    floats = [column.to(dtype) for column in (position, normal, probability)]
    return PatchBatch(node, floats[0], floats[1], vertex, section, section // 3, area, floats[2])


def random_vectors(n: int, d: int = 8, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Unit vectors."""
    z = torch.randn((n, d), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(z, dim=1).to(dtype)


def random_inputs(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """What a linear encoder turns into vectors."""
    return torch.randn((n, 12), generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def shares(n: int, size: int, is_uneven: bool) -> list[slice]:
    """Rows of each rank: equal, or 1 row for rank 0 and the rest for the others."""
    cuts = [round(n * rank / size) for rank in range(size + 1)]
    if is_uneven and size > 1:
        cuts = [0, *(1 + round((n - 1) * rank / (size - 1)) for rank in range(size))]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def all_terms() -> list[Term]:
    """Every objective once."""
    return [*contrastive_terms(), Term("supervised", Supervised(torch.arange(1, N_AREAS + 1)))]


def contrastive_terms() -> list[Term]:
    """Every objective that compares patches."""
    kernels = ("gaussian", "exponential", "radius", "inverse")
    spatial = [
        Term(
            f"spatial_{kernel}",
            SpatialNCE(2.0, kernel, distance=Euclidean(), reach_mm=5.0, same_section_weight=0.2, same_brain_weight=0.5),
            0.1,
        )
        for kernel in kernels
    ]
    geodesic = SpatialNCE(4.0, distance=Geodesic(surface_geodesics(9.0)), reach_mm=9.0)
    flattened = SpatialNCE(2.0, distance=Euclidean(normal_factor=3.0), reach_mm=6.0)
    return [
        *spatial,
        Term("spatial_geodesic", geodesic, 0.1),
        Term("spatial_flattened", flattened, 0.1),
        Term("probability_guided", ProbabilityGuided(), 0.1),
        Term("supervised_contrastive", SupervisedContrastive(), 0.2),
        Term("simclr", SimCLR(), 0.5),
    ]
