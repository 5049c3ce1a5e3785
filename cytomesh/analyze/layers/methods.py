"""The methods that are compared: decoders on encoders, beside profiles, and baselines without an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cytomesh.analyze.layers.baseline import DepthPrior, ProfileClassifier, grey_profiles
from cytomesh.analyze.layers.classes import IGNORE, N_LAYERS
from cytomesh.analyze.layers.evidence import Evidence, choose_trust, with_profiles
from cytomesh.analyze.layers.order import order_layers, smooth_along
from cytomesh.analyze.layers.ribbon import SPACING_PX, SectionRibbon
from cytomesh.analyze.layers.sections import LinkedSection
from cytomesh.analyze.layers.tiles import segment_ribbon
from cytomesh.analyze.layers.training import Segmenter
from cytomesh.analyze.layers.views import Job, View, each_view
from cytomesh.classify.splits import TRAIN, VALIDATION
from cytomesh.imaging.pyramid import Pyramid, open_section

PROFILES, DEPTH = "profiles", "depth alone"
FIT_COLUMNS = 20_000


class Baseline(Protocol):
    """Layers from profiles, (n, k), to probabilities, (n, k, 6)."""

    def predict(self, profiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities."""
        ...


Found = tuple[NDArray[np.float32], NDArray[np.int64] | None]
"""Probabilities of layers along columns, (n, k, 6), and a network's own pixels."""


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
        How far each decoder is trusted beside profiles, see `with_profiles`.
    """

    models: Mapping[str, Segmenter]
    baselines: Mapping[str, Baseline]
    prior: DepthPrior
    trusts: Mapping[str, float]

    def each(self, job: Job, linked: LinkedSection, view: View, image: Pyramid) -> Iterator[tuple[str, Found]]:
        """Yield what each method finds, by its name, decoders first."""
        profiles = _profiles(job, linked, view.ribbon, image)
        by_profiles = self.baselines[PROFILES].predict(profiles)
        for name, model in self.models.items():
            found, own = _by_network(job, linked, view.ribbon, image, model)
            balance = job.settings.training.balance
            yield name, (with_profiles(found, by_profiles, self.prior.probabilities, balance, self.trusts[name]), own)
        yield PROFILES, (by_profiles, None)
        yield DEPTH, (self.prior.predict(profiles), None)


def fit_methods(job: Job, models: Mapping[str, Segmenter]) -> Methods:
    """Fit what needs no encoder to the columns of the training side, and choose how far decoders are trusted."""
    training = [linked for linked in job.sections if TRAIN in job.sides_in(linked)]
    at_most = max(1, FIT_COLUMNS // len(training))
    profiles, truths = [], []
    for linked, views in each_view(job, training, "read profiles"):
        with open_section(linked.section) as image:
            for view in views:
                mine = np.flatnonzero(view.sides == TRAIN)
                if view.truth is None or not len(mine):
                    continue
                chosen = mine[np.unique(np.linspace(0, len(mine) - 1, min(len(mine), at_most)).astype(int))]
                profiles.append(_profiles(job, linked, view.ribbon, image)[chosen])
                truths.append(view.truth[chosen])
    truth = np.concatenate(truths)
    prior, by_profiles = DepthPrior.fit(truth), ProfileClassifier.fit(np.concatenate(profiles), truth)
    baselines: dict[str, Baseline] = {PROFILES: by_profiles, DEPTH: prior}
    return Methods(models, baselines, prior, _trusts(job, models, by_profiles, prior))


def _trusts(
    job: Job, models: Mapping[str, Segmenter], by_profiles: ProfileClassifier, prior: DepthPrior
) -> dict[str, float]:
    """Return how far each decoder is trusted beside profiles, by the columns of the validation side."""
    evidence: dict[str, list[Evidence]] = {name: [] for name in models}
    held_out = [linked for linked in job.sections if VALIDATION in job.sides_in(linked)]
    for linked, views in each_view(job, held_out, "choose"):
        with open_section(linked.section) as image:
            for view in views:
                is_mine = view.sides == VALIDATION
                if view.truth is None or not is_mine.any():
                    continue
                truth = np.where(is_mine[:, None], view.truth, IGNORE)
                profiles = by_profiles.predict(_profiles(job, linked, view.ribbon, image))
                for name, model in models.items():
                    found, _ = _by_network(job, linked, view.ribbon, image, model)
                    evidence[name].append((found, profiles, truth, partial(ordered, job, view.ribbon)))
    balance = job.settings.training.balance
    return {name: choose_trust(own, prior.probabilities, balance) for name, own in evidence.items()}


def _profiles(job: Job, linked: LinkedSection, ribbon: SectionRibbon, image: Pyramid) -> NDArray[np.float32]:
    spacing_mm = SPACING_PX * job.um_per_px / 1000
    return grey_profiles(image, linked.section.um_per_px, ribbon.columns, job.um_per_px, spacing_mm)


def _by_network(
    job: Job, linked: LinkedSection, ribbon: SectionRibbon, image: Pyramid, model: Segmenter
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the probabilities of layers along columns, and the network's own decision for each pixel of the cortex."""
    settings, um = job.settings, linked.section.um_per_px
    patches, size_px = model.encoder.patches, model.decoder.size_px
    maps = segment_ribbon(
        model.probabilities, image, um, ribbon, patches, size_px, settings.overlap, settings.batch_size
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
