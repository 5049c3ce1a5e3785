"""What an objective is, and the loss of contrastive ones in anybody's training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

import torch
import torch.distributed as dist
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from cytomesh.core.config import Config
from cytomesh.core.errors import ConfigError, did_you_mean
from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.distance import Geodesic
from cytomesh.pretrain.gather import gather_rows
from cytomesh.pretrain.info_nce import CHUNK_ELEMENTS, weighted_info_nce

Need = Literal["maps", "labels", "two views"]
TELLS: dict[Need, str] = {"maps": "probability", "labels": "area", "two views": "node"}
"""By which part of `PatchBatch` an objective learns of what it needs."""


class ObjectiveConfig(Config):
    """Settings of an objective."""

    weight: PositiveFloat = 1.0
    """Factor in the sum of objectives."""


class ContrastiveConfig(ObjectiveConfig):
    """Settings of an objective that compares patches."""

    temperature: PositiveFloat = 0.1
    """Temperature of the softmax over patches."""


@dataclass(frozen=True)
class Moment:
    """What an objective is made for.

    Parameters
    ----------
    areas : (c,) int64 tensor
        Labels that occur, ascending; one output of the classifier each.
    progress : float
        Share of the steps that are done, 0 to 1.
    geodesic : Geodesic, optional
        Distance on the template, where the settings ask for it.
    """

    areas: Tensor
    progress: float = 0.0
    geodesic: Geodesic | None = None


class Objective(nn.Module, ABC):
    """A term of the loss; settings name it, and hold its `Config`."""

    Config: ClassVar[type[ObjectiveConfig]] = ObjectiveConfig
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What the data must have."""

    @property
    def reads(self) -> frozenset[str]:
        """What of `PatchBatch` it has to be told; a loss without it would mean nothing."""
        return frozenset(TELLS[need] for need in self.needs)

    @classmethod
    def from_settings(cls, settings: Any, moment: Moment) -> Self:  # noqa: ARG003
        """Make the objective from settings of its `Config`."""
        return cls()


class Contrastive(Objective):
    """A rule that weighs pairs of patches; the loss is `weighted_info_nce` of these weights.

    cytomesh's trainer asks for `weights`. Any other loop calls the objective itself, also under DDP::

        criterion = SpatialNCE(sigma_mm=3.0)
        loss = criterion(model(images), position=position_mm)
        loss.backward()
    """

    Config: ClassVar[type[ObjectiveConfig]] = ContrastiveConfig

    @abstractmethod
    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return the (b, n) non-negative weights of the patches of a batch to others."""

    def total(
        self,
        vectors: Tensor,
        others: Tensor,
        batch: PatchBatch,
        everything: PatchBatch,
        *,
        temperature: float,
        first: int,
        chunk_elements: int = CHUNK_ELEMENTS,
    ) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses of a rank's patches and the number of its anchors, see `weighted_info_nce`.

        Parameters
        ----------
        vectors, others : (b, d) and (n, d)
            Unit vectors of this rank and of all.
        batch, everything : PatchBatch
            The patches of this rank and of all.
        first : int
            Row of this rank's first patch among all.
        """

        def weights(rows: slice) -> Tensor:
            return self.weights(batch[rows], everything)

        return weighted_info_nce(
            vectors, others, weights, temperature=temperature, first=first, chunk_elements=chunk_elements
        )

    def forward(self, vectors: Tensor, *, temperature: float = 0.1, **places: Tensor) -> Tensor:
        """Return the loss of a batch; with several ranks, of the patches of all of them.

        Vectors of all ranks are gathered with their gradient. Each rank returns its share times the number of ranks:
        DDP averages gradients over ranks, after which they are those of the mean over all anchors.

        Parameters
        ----------
        vectors : (b, d) float
            One per patch; brought to unit length.
        temperature : float
        **places : (b, ...) tensors
            What the objective needs of `PatchBatch` (see `reads`): position (mm), probability, area, section, brain,
            and node, by which views of one patch are known.

        Returns
        -------
        () tensor

        Raises
        ------
        ConfigError
            If vectors are not (b, d), a place is missing, unknown, of another number of patches or not finite, a
            probability negative, or the temperature not positive.
        """
        if not isinstance(vectors, Tensor) or vectors.ndim != 2 or not vectors.is_floating_point():
            found = f"{vectors.dtype} of {tuple(vectors.shape)}" if isinstance(vectors, Tensor) else str(type(vectors))
            raise ConfigError(type(self).__name__, "vectors", found=found, expected="a float tensor of (b, d)")
        self._check(len(vectors), temperature, places)
        unit = functional.normalize(vectors, dim=1)
        sizes, rank = _sizes(len(vectors), vectors.device)
        known = {name: gather_rows(_precise(name, places[name]).to(vectors.device), sizes) for name in sorted(places)}
        everything, first = PatchBatch.of(sum(sizes), vectors.device, **known), sum(sizes[:rank])
        mine, others = everything[first : first + len(vectors)], gather_rows(unit, sizes)
        total, n_anchors = self.total(unit, others, mine, everything, temperature=temperature, first=first)
        n_all = n_anchors.detach().clone()
        if len(sizes) > 1:
            dist.all_reduce(n_all)
        return len(sizes) * total / n_all.clamp(min=1).to(total.dtype)

    def _check(self, n: int, temperature: float, places: Mapping[str, Tensor]) -> None:
        name, known = type(self).__name__, {item.name for item in fields(PatchBatch)}
        if not temperature > 0:
            raise ConfigError(name, "temperature", found=str(temperature), expected="a positive number")
        for place in places:
            if place not in known:
                hint = did_you_mean(place, known, f"there are {', '.join(sorted(known))}")
                raise ConfigError(name, place, found="an unknown place of patches", hint=hint)
        missing = sorted(self.reads - places.keys())
        if missing:
            hint = f"call it with {', '.join(f'{place}=...' for place in missing)}, a row for each vector"
            raise ConfigError(name, found=f"no {' and no '.join(missing)}", hint=hint)
        for place, values in places.items():
            wanted = (n, 3) if place in ("position", "normal") else (n, *values.shape[1:])
            if not isinstance(values, Tensor) or tuple(values.shape) != wanted:
                found = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
                raise ConfigError(name, place, found=found, expected=f"a tensor of {wanted}")
            if values.is_floating_point() and not torch.isfinite(values).all():
                hint = "leave out patches without a place"
                raise ConfigError(name, place, found="NaN or infinite values", expected="finite ones", hint=hint)
            if place == "probability" and (values < 0).any():
                raise ConfigError(name, place, found="negative values", expected="probabilities")


def _precise(place: str, values: Tensor) -> Tensor:
    """Return what is measured in single precision at least: a half cannot tell 70.00 mm from 70.03 mm."""
    is_measured = place in ("position", "normal", "probability")
    return (values.to(torch.promote_types(values.dtype, torch.float32)) if is_measured else values).contiguous()


def _sizes(n: int, device: torch.device) -> tuple[list[int], int]:
    """Return the number of patches of each rank, and this rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return [n], 0
    sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=device)
    sizes[dist.get_rank()] = n
    dist.all_reduce(sizes)
    return sizes.tolist(), dist.get_rank()
