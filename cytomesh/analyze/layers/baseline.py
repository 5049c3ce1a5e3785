"""What needs no encoder: the layers of a column from its intensity profile, or from depth alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cytomesh.analyze.layers.classes import IGNORE, N_LAYERS
from cytomesh.analyze.layers.order import smooth_along
from cytomesh.analyze.layers.ribbon import Columns
from cytomesh.imaging.patches import choose_level
from cytomesh.imaging.pyramid import Pyramid

SHRINKAGE = 0.05
LEAST_SAMPLES = 20
PROFILE_MM = 0.25
"""SD of the Gaussian along the ribbon by which neighbouring profiles are averaged: single cells are no layers."""


def grey_profiles(
    image: Pyramid, image_um: float, columns: Columns, um_per_px: float, spacing_mm: float
) -> NDArray[np.float32]:
    """Return the intensity along columns, (n, k), with mean 0 and SD 1 over the columns of the section.

    Read from the coarsest level of the image that is no coarser than `um_per_px`, averaged over colours and, by a
    Gaussian, over neighbouring columns. What a section's stain adds or scales is taken out without any label.
    """
    index = choose_level(image.level_scales, um_per_px / image_um)
    level = image.levels[index]
    grey = image.read(index, 0, level.shape[0], 0, level.shape[1]).mean(axis=2, dtype=np.float32)
    at = (columns.points[..., ::-1] - np.asarray(level.offset)) / np.asarray(level.scale)
    profiles = map_coordinates(grey, np.moveaxis(at, 2, 0), order=1, mode="nearest")
    smooth = smooth_along(profiles, columns.line, columns.is_closed, PROFILE_MM / spacing_mm)
    return (smooth - smooth.mean()) / max(float(smooth.std()), 1e-6)


@dataclass(frozen=True, slots=True)
class DepthPrior:
    """How often each layer lies at each depth: what the depth field alone tells.

    Parameters
    ----------
    probabilities : (k, 6) float64
    """

    probabilities: NDArray[np.float64]

    @classmethod
    def fit(cls, truth: NDArray[np.int32]) -> DepthPrior:
        """Count layers, (n, k), over columns; `IGNORE` is left out."""
        counts = np.stack([(truth == layer).sum(axis=0) for layer in range(N_LAYERS)], axis=1) + 0.5
        return cls(counts / counts.sum(axis=1, keepdims=True))

    def predict(self, profiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, (n, k, 6), the same for all columns."""
        return np.broadcast_to(self.probabilities, (len(profiles), *self.probabilities.shape)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ProfileClassifier:
    """Linear discriminants of the whole profile, one at each depth, with the layers' frequencies there as priors.

    The covariance is shrunk by 0.05, as neighbouring samples of a profile are nearly the same.

    Parameters
    ----------
    models : tuple of LinearDiscriminantAnalysis, int or None
        At each depth; the only layer that was seen there; or nothing.
    """

    models: tuple[LinearDiscriminantAnalysis | int | None, ...]

    @classmethod
    def fit(cls, profiles: NDArray[np.float32], truth: NDArray[np.int32]) -> ProfileClassifier:
        """Fit to profiles and layers, (n, k) both."""
        models: list[LinearDiscriminantAnalysis | int | None] = []
        for depth in range(truth.shape[1]):
            known = truth[:, depth] != IGNORE
            layers, counts = np.unique(truth[known, depth], return_counts=True)
            usual = layers[counts >= LEAST_SAMPLES] if len(layers) else layers
            if len(usual) < 2:
                models.append(int(layers[counts.argmax()]) if len(layers) else None)
                continue
            rows = known & np.isin(truth[:, depth], usual)
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
            models.append(model.fit(profiles[rows], truth[rows, depth]))
        return cls(tuple(models))

    def predict(self, profiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, (n, k, 6)."""
        found = np.zeros((*profiles.shape, N_LAYERS), np.float32)
        for depth, model in enumerate(self.models):
            if model is None:
                found[:, depth] = 1 / N_LAYERS
            elif isinstance(model, int):
                found[:, depth, model] = 1
            else:
                found[:, depth, model.classes_] = model.predict_proba(profiles)
        return found
