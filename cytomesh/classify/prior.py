"""The registered prior: areas of the training brains, carried along spheres, beside or before what images say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree
from scipy.special import logsumexp, softmax

from cytomesh.classify.area_fields import SUBDIVISIONS, WIDTHS, AreaFields, Located, at_places, smoothed
from cytomesh.classify.classifier import Classifier
from cytomesh.classify.known_inputs import PRIOR
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.splits import NONE, TRAIN
from cytomesh.core.config import Config
from cytomesh.core.errors import ConfigError
from cytomesh.core.learning import macro_f1
from cytomesh.core.random import generator
from cytomesh.graph.neighbourhoods import Floats, Mask
from cytomesh.register.spherical import exponential, icosphere, tangent
from cytomesh.register.warp import grid_of

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Of the image, compared where the settings leave it open."""
EXPONENTS = (0.005, 5.0)
"""Range of what makes the image agree with the prior."""
ENOUGH = 20_000
"""Nodes to find it on."""
N_FOLDS = 6
"""Of the 42 blocks of a lone hemisphere."""
MOVED_DEG, MOVED_SCALE_DEG = 2.5, 4.0
"""How far off registration is taken to be where nothing tells, and how smoothly, in degrees: 4 and 6 mm in a human
hemisphere. Borders of areas are 2.7 (V1) to 8 mm off after registration of folds (Fischl et al. 2008)."""
LEAST_SD = 1e-3
STATE = ("prior_field", "prior_sd", "image_weight", "prior_moments")


class PriorConfig(Config):
    """Areas of the training brains, carried to every node by registration."""

    registration: str | None = None
    """Name of what `cytomesh register` made; None: areas are not carried, not even to compare with."""
    sd_deg: float | None = None
    """SD of the smoothing on the sphere, degrees (1 is 1.6 mm in a human hemisphere): 1, 2, 3, 4 or 6; None: the one by
    which the other training brains best foresee the labels of each (log-likelihood); see `RegisteredPrior` for one
    labelled hemisphere alone."""
    vote: bool = True
    """Whether the model's probabilities are multiplied with it; else it stands beside the scores only."""
    image_weight: float | None = Field(default=None, ge=0)
    """Of the model's probabilities beside the prior: 1 is as much as they agree with it in a hemisphere (see
    `WithPrior`). None: the best of 0, 0.25, 0.5, 1, 2, 4 and 8 by macro-F1 of each training brain, learnt from the
    others (blocks of cortex, if one hemisphere alone is labelled); 1 where the others' areas leave nothing to try."""

    @field_validator("sd_deg")
    @classmethod
    def _known(cls, sd: float | None) -> float | None:
        if sd is not None and sd not in WIDTHS:
            raise ValueError(f"one of {', '.join(f'{width:g}' for width in WIDTHS)}")
        return sd


class RegisteredPrior:
    """The areas of the training nodes at every place of the sphere (see `AreaFields`), and how well they foresee.

    What a brain's prior is worth is seen on the training brains, each foreseen by the others. With one hemisphere alone
    nobody else foresees it: its areas do, moved at random by `MOVED_DEG`, as if registration were off by as much, and
    blocks of cortex take the brains' part where a model has to be tried on what it has not learnt from.

    Parameters
    ----------
    data : NodeData
        With places and brains; the labels of the training side are read.
    sd_deg : float, optional
        See `PriorConfig`.
    """

    def __init__(self, data: NodeData, sd_deg: float | None) -> None:
        if data.brains is None:
            raise ConfigError("prior", found="nodes without brains")
        self.data, self.places = data, places_of(data)
        self._located = Located.of(self.places)
        self._rows = data.is_train & (data.targets >= 0)
        owner = data.brains
        if np.unique(owner[self._rows]).size == 1:  # the hemispheres of one brain foresee each other
            owner = np.repeat(np.arange(data.sizes.size), data.sizes)
        self._owner, self._brains = owner, np.unique(owner[self._rows])
        sizes = np.repeat(data.sizes, data.sizes)[self._rows]
        of_rows = (self.places[self._rows], data.targets[self._rows], owner[self._rows])
        widths = WIDTHS if sd_deg is None else (sd_deg,)
        candidates = AreaFields.of(*of_rows, 1.0 / sizes, data.classes.size, widths)
        self._fields = next(candidates) if sd_deg is not None else max(candidates, key=self._foresight)

    @classmethod
    def if_placed(cls, data: NodeData, sd_deg: float | None) -> RegisteredPrior | None:
        """Return the prior where it is known where nodes lie on a registered sphere."""
        return None if data.places is None else cls(data, sd_deg)

    @property
    def sd_deg(self) -> float:
        """SD of the smoothing, degrees."""
        return self._fields.sd_deg

    @cached_property
    def field(self) -> Floats:
        """The prior by all training brains, (g, k)."""
        return self._fields.prior(np.ones(self._brains.size, bool))

    @cached_property
    def by_others(self) -> Floats:
        """The prior at every node, (n, k), in training brains by the others."""
        return self._foreseen(self._fields, np.ones(len(self.places), bool))

    def _foreseen(self, fields: AreaFields, nodes: Mask, without: int = -1) -> Floats:
        """Return the prior at some nodes, (m, k), in training brains by the others; one brain's areas may be unread."""
        is_read = self._brains != without
        located, owner = self._located[nodes], self._owner[nodes]
        found = located.values(fields.prior(is_read))
        for brain in self._brains[is_read]:
            own, others = owner == brain, is_read & (self._brains != brain)
            if others.any():
                found[own] = located[own].values(fields.prior(others))
            else:
                found[own] = self._located_moved[nodes][own].values(fields.prior(is_read))
        return found

    @cached_property
    def _located_moved(self) -> Located:
        return Located.of(moved(self.places))

    def in_fold(self, number: int) -> Floats:
        """Return the prior at every node, (n, k), as the model of a fold sees it: a brain that is tried is unread.

        Else it would be where it was not when others were learnt from: a model learns how far the areas of a brain lie
        from those of the one it is foreseen by, and of two brains each lies off the other in the opposite direction.
        """
        if self._brains.size == 1:
            return self.by_others
        return self._foreseen(self._fields, np.ones(len(self.places), bool), without=number)

    def folds(self) -> NDArray[np.int64]:
        """Return which nodes are tried together, (n,): the number of the training brain, or of a set of blocks."""
        if self._brains.size > 1:
            return self._owner
        blocks = cKDTree(icosphere(1).vertices).query(self.places)[1]
        dealt = generator(0, "blocks of a lone hemisphere").permutation(blocks.max() + 1) % N_FOLDS
        return np.where(self._owner == self._brains[0], dealt[blocks], -1)

    def _foresight(self, fields: AreaFields) -> float:
        targets = self.data.targets[self._rows]
        return float(np.log(self._foreseen(fields, self._rows)[np.arange(targets.size), targets]).mean())


class WithPrior(Classifier):
    """Any classifier, with the registered prior among its inputs, or voting beside it.

    A product of experts (Hinton 2002): p(a) ~ prior(a) model(a)^(w e). In each hemisphere, e is the exponent at which
    the model's probabilities foresee the prior best (cross-entropy; no label is read): a model that is too sure of
    itself, or that a brain's other staining misleads, has less to say there. The weight w is that with the best
    macro-F1 of each training brain, named by a model that learnt from the others, with the prior by the others; 0 is
    the prior alone, so that on training brains the model never does worse than the prior.

    Parameters
    ----------
    make : callable
        From numbers of inputs and of classes to the classifier, not yet fitted.
    settings : PriorConfig
    n_inputs, n_classes : int
        Without and of the prior.
    is_input : bool
        Whether the model sees the logarithm of the prior beside its other inputs; of training brains by the others.
    ready : RegisteredPrior, optional
        Of the nodes that it is to be fitted to: several trainings share one.
    """

    def __init__(
        self,
        make: Callable[[int, int], Classifier],
        settings: PriorConfig,
        n_inputs: int,
        n_classes: int,
        *,
        is_input: bool,
        ready: RegisteredPrior | None = None,
    ) -> None:
        self.settings, self.is_input, self._ready = settings, is_input, ready
        self._make: Callable[[int], Classifier] = partial(make, n_inputs + is_input * n_classes)
        self.model = self._make(n_classes)
        self.weight = 0.0 if settings.image_weight is None else settings.image_weight
        self.sd_deg = WIDTHS[0]
        self.field: Floats = np.zeros((0, n_classes), np.float32)
        self.moments: Floats = np.stack([np.zeros(n_classes), np.ones(n_classes)]).astype(np.float32)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Smooth the training areas, train the model, and weigh it."""
        prior = self._ready
        if prior is None or prior.data is not data:
            prior = RegisteredPrior(data, self.settings.sd_deg)
        self.sd_deg, self.field, by_others = prior.sd_deg, prior.field, prior.by_others
        if self.is_input:
            logs = np.log(by_others[data.is_train])
            self.moments = np.stack([logs.mean(axis=0), np.maximum(logs.std(axis=0), LEAST_SD)])
        if self.settings.vote and self.settings.image_weight is None:
            self.weight = self._best_weight(data, prior, by_others, seed)
        return self.model.fit(self._with_input(data, by_others), seed)

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        prior = at_places(self.field, places_of(data))
        if not self.settings.vote:
            return self.model.probabilities(self._with_input(data, prior))
        if not self.weight:
            return prior
        likely = self.model.probabilities(self._with_input(data, prior))
        is_linked = np.ones(len(prior), bool) if data.is_linked is None else data.is_linked
        parts = [data.graphs(column) for column in (prior, likely, is_linked & ~data.is_train, is_linked)]
        exponents = [exponent(p, q, rows if rows.any() else linked) for p, q, rows, linked in zip(*parts, strict=True)]
        return product(prior, likely, self.weight * np.repeat(exponents, data.sizes)[:, None])

    def _best_weight(self, data: NodeData, prior: RegisteredPrior, by_others: Floats, seed: int) -> float:
        found = []
        fold_of = prior.folds()
        for rows, fold, classes in folds(data, fold_of):
            model = self._make(classes.size)
            seen = self._with_input(fold, prior.in_fold(fold_of[rows[0]])) if self.is_input else fold
            model.fit(seen, seed)
            likely = np.zeros((rows.size, data.classes.size), np.float32)
            likely[:, classes] = model.probabilities(seen)[rows]
            exponents = np.full((rows.size, 1), exponent(by_others[rows], likely, np.ones(rows.size, bool)))
            found.append((data.targets[rows], by_others[rows], likely, exponents))
        if not found:
            return 1.0
        targets, priors, images, exponents = (np.concatenate(parts) for parts in zip(*found, strict=True))
        scores = [macro_f1(targets, product(priors, images, w * exponents).argmax(axis=1)) for w in WEIGHTS]
        return WEIGHTS[int(np.argmax(scores))]

    def _with_input(self, data: NodeData, prior: Floats) -> NodeData:
        if not self.is_input:
            return data
        if not isinstance(data.inputs, np.ndarray):
            hint = "raise inputs.memory_gib, or leave 'prior' out of inputs.names"
            raise ConfigError("inputs.names", PRIOR, found="inputs that stay on disk", hint=hint)
        mean, sd = self.moments
        return replace(data, inputs=np.concatenate([data.inputs, (np.log(prior) - mean) / sd], axis=1))

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        own = (self.field, [self.sd_deg], [self.weight], self.moments)
        return {**self.model.state(), **{n: np.asarray(a, np.float32) for n, a in zip(STATE, own, strict=True)}}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over the model and the prior."""
        self.field, self.moments = state["prior_field"], state["prior_moments"]
        self.sd_deg, self.weight = float(state["prior_sd"][0]), float(state["image_weight"][0])
        self.model.load({name: array for name, array in state.items() if name not in STATE})


def product(prior: Floats, likely: Floats, weights: NDArray[np.float64]) -> Floats:
    """Return prior times likely to the power of each node's weight, (n, 1), as (n, k) rows that sum to 1."""
    return np.asarray(softmax(np.log(prior) + weights * _logs(likely), axis=1), np.float32)


def exponent(prior: Floats, likely: Floats, rows: Mask) -> float:
    """Return the e for which softmax(e log likely) has the smallest cross-entropy under the prior, over some rows.

    0 without any: where no node has an image, the prior is all there is.
    """
    chosen = np.flatnonzero(rows)
    if not chosen.size:
        return 0.0
    chosen = chosen[:: -(-chosen.size // ENOUGH)]
    wanted, logs = prior[chosen].astype(np.float64), _logs(likely[chosen])
    expected = float((wanted * logs).sum(axis=1).mean())

    def cross_entropy(log_exponent: float) -> float:
        e = np.exp(log_exponent)
        return float(logsumexp(e * logs, axis=1).mean()) - e * expected

    bounds = tuple(np.log(EXPONENTS))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def _logs(probabilities: Floats) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))


def folds(
    data: NodeData, fold_of: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NodeData, NDArray[np.int64]]]:
    """Yield each fold's nodes of areas that the others have, too, the data with these to learn from, and their classes.

    Folds without such nodes, or whose others have fewer than two areas, are passed over: nothing can be tried on them.

    Parameters
    ----------
    fold_of : (n,) int64
        Of each node; those without training nodes are left out.
    """
    labelled = (data.is_train | data.is_validation) & (data.targets >= 0)
    for number in np.unique(fold_of[data.is_train]):
        sides = np.where(fold_of == number, NONE, data.sides)
        classes = np.unique(data.targets[(sides == TRAIN) & (data.targets >= 0)])
        position = np.full(data.classes.size + 1, -1)
        position[classes] = np.arange(classes.size)
        maps = None if data.maps is None else data.maps[:, classes]
        fold = replace(data, sides=sides, targets=position[data.targets], classes=data.classes[classes], maps=maps)
        rows = np.flatnonzero(labelled & (fold_of == number) & (fold.targets >= 0))
        if rows.size and classes.size >= 2:
            yield rows, fold, classes


def moved(places: Floats) -> Floats:
    """Move (n, 3) unit vectors by a smooth random field of `MOVED_DEG` (root mean square)."""
    here, steps = places.astype(np.float64), at_places(_steps(), places).astype(np.float64)
    return exponential(here, tangent(here, steps)).astype(np.float32)


@cache
def _steps() -> Floats:
    """Return the field of `moved` on the icosphere, (g, 3) radians."""
    grid = grid_of(SUBDIVISIONS).mesh.vertices
    steps = tangent(grid, smoothed(generator(0, "prior, moved").standard_normal(grid.shape), MOVED_SCALE_DEG))
    steps *= np.radians(MOVED_DEG) / np.sqrt((steps**2).sum(axis=1).mean())
    return steps.astype(np.float32)


def places_of(data: NodeData) -> Floats:
    """Return where nodes lie on the registered sphere, (n, 3); raise ConfigError if that is not known."""
    if data.places is None:
        raise ConfigError("prior", found="nodes without places on a registered sphere", expected="a registration")
    return data.places
