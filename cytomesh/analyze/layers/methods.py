"""The methods that are compared: decoders on encoders, with what depth tells, and baselines without an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cytomesh.analyze.layers.baseline import DepthPrior, ProfileClassifier, grey_profiles
from cytomesh.analyze.layers.classes import IGNORE, N_LAYERS
from cytomesh.analyze.layers.order import order_layers, smooth_along
from cytomesh.analyze.layers.prior import choose_trust, with_depth
from cytomesh.analyze.layers.ribbon import SPACING_PX, SectionRibbon
from cytomesh.analyze.layers.sections import LinkedSection
from cytomesh.analyze.layers.tiles import segment_ribbon
from cytomesh.analyze.layers.training import Segmenter
from cytomesh.analyze.layers.views import Job, View, views_of
from cytomesh.classify.splits import TRAIN, VALIDATION
from cytomesh.core.progress import track
from cytomesh.imaging.pyramid import Pyramid, open_image

PROFILES, DEPTH = "profiles", "depth alone"
FIT_COLUMNS = 20_000


class Baseline(Protocol):
    """Layers from profiles, (n, k), to probabilities, (n, k, 6)."""

    def predict(self, profiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities."""
        ...


@dataclass(frozen=True, slots=True)
class Methods:
    """All that find layers in columns.

    Parameters
    ----------
    models : dict of str to Segmenter
        Encoders with their decoders.
    baselines : dict of str to Baseline
    prior : DepthPrior
    trusts : dict of str to float
        How far each decoder is trusted beside depth, see `with_depth`.
    """

    models: Mapping[str, Segmenter]
    baselines: Mapping[str, Baseline]
    prior: DepthPrior
    trusts: Mapping[str, float]

    @property
    def names(self) -> list[str]:
        """Names of all methods, decoders first."""
        return [*self.models, *self.baselines]

    def columns(
        self, job: Job, linked: LinkedSection, view: View, image: Pyramid, method: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Return what a method finds: probabilities of layers along columns, (n, k, 6), and a network's own pixels."""
        if method in self.baselines:
            return self.baselines[method].predict(_profiles(job, linked, view.ribbon, image)), None
        found, own = _by_network(job, linked, view.ribbon, image, self.models[method])
        balance = job.settings.training.balance
        return with_depth(found, self.prior.probabilities, balance, self.trusts[method]), own


def fit_methods(job: Job, models: Mapping[str, Segmenter]) -> Methods:
    """Fit what needs no encoder to the columns of the training side, and choose how far decoders are trusted."""
    training = [linked for linked in job.sections if TRAIN in job.sides_in(linked)]
    at_most = max(1, FIT_COLUMNS // len(training))
    profiles, truths = [], []
    for linked in track(training, "read profiles", unit="sections"):
        with open_image(next(iter(linked.parts.values())).image) as image:
            for view in views_of(job, linked, image):
                mine = np.flatnonzero(view.sides == TRAIN)
                if view.truth is None or not len(mine):
                    continue
                chosen = mine[np.unique(np.linspace(0, len(mine) - 1, min(len(mine), at_most)).astype(int))]
                profiles.append(_profiles(job, linked, view.ribbon, image)[chosen])
                truths.append(view.truth[chosen])
    truth = np.concatenate(truths)
    prior = DepthPrior.fit(truth)
    baselines: dict[str, Baseline] = {PROFILES: ProfileClassifier.fit(np.concatenate(profiles), truth), DEPTH: prior}
    trusts = {name: _chosen(job, model, prior) for name, model in models.items()}
    return Methods(models, baselines, prior, trusts)


def _chosen(job: Job, model: Segmenter, prior: DepthPrior) -> float:
    """Return how far a decoder is trusted beside depth, by the columns of the validation side."""
    sections = []
    for linked in job.sections:
        if VALIDATION not in job.sides_in(linked):
            continue
        with open_image(next(iter(linked.parts.values())).image) as image:
            for view in views_of(job, linked, image):
                if view.truth is not None and (view.sides == VALIDATION).any():
                    found, _ = _by_network(job, linked, view.ribbon, image, model)
                    truth = np.where((view.sides == VALIDATION)[:, None], view.truth, IGNORE)
                    sections.append((found, truth, partial(ordered, job, view.ribbon)))
    return choose_trust(sections, prior.probabilities, job.settings.training.balance)


def _profiles(job: Job, linked: LinkedSection, ribbon: SectionRibbon, image: Pyramid) -> NDArray[np.float32]:
    spacing_mm = SPACING_PX * job.um_per_px / 1000
    return grey_profiles(image, linked.section.um_per_px, ribbon.columns, job.um_per_px, spacing_mm)


def _by_network(
    job: Job, linked: LinkedSection, ribbon: SectionRibbon, image: Pyramid, model: Segmenter
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the probabilities of layers along columns, and the network's own decision for each pixel of the cortex."""
    settings, um = job.settings, linked.section.um_per_px
    patches = model.encoder.patches
    with torch.inference_mode():
        maps = segment_ribbon(
            model.probabilities, image, um, ribbon.columns, ribbon.grid, patches, settings.overlap, settings.batch_size
        )
    at = np.moveaxis(ribbon.grid.pixels(ribbon.columns.points)[..., ::-1], 2, 0)
    layers = [map_coordinates(maps[1 + layer], at, order=1, mode="nearest") for layer in range(N_LAYERS)]
    return np.stack(layers, axis=-1), maps[:, np.isfinite(ribbon.depth)].argmax(axis=0)


def ordered(job: Job, ribbon: SectionRibbon, probabilities: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the layers of columns in order, (n, k), from probabilities that neighbours along the ribbon share."""
    columns = ribbon.columns
    sd = job.settings.smoothing_mm * 1000 / (SPACING_PX * job.um_per_px)
    smooth = smooth_along(probabilities, columns.line, columns.is_closed, sd)
    return order_layers(smooth)
