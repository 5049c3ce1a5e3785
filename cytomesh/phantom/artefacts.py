"""What goes wrong in a real series: missing, torn and unevenly stained sections."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from cytomesh.core.random import generator
from cytomesh.phantom.config import ArtefactConfig

Artefact = Literal["none", "missing", "tear", "stain gradient"]
EDGE = 0.15
"""Share of the series at either end that stays whole."""


def plan(settings: ArtefactConfig, n_sections: int, seed: int, brain: str) -> tuple[Artefact, ...]:
    """Choose which sections of a brain have which artefact; never two neighbours missing."""
    order = generator(seed, "artefacts", brain).permutation(
        np.arange(int(EDGE * n_sections), int((1 - EDGE) * n_sections))
    )
    result: list[Artefact] = ["none"] * n_sections
    wanted: list[tuple[Artefact, int]] = [
        ("missing", settings.missing),
        ("tear", settings.torn),
        ("stain gradient", settings.gradient),
    ]
    for kind in [kind for kind, count in wanted for _ in range(count)]:
        for i in order:
            beside = "missing" in result[max(0, i - 1) : i + 2]
            if result[i] == "none" and not (kind == "missing" and beside):
                result[i] = kind
                break
    return tuple(result)


def tear(image: NDArray[np.uint8], background: float, um_per_px: float, seed: int) -> NDArray[np.uint8]:
    """Open a crack right through the tissue: a wandering bright line, 0.2 to 0.8 mm wide."""
    rng = generator(seed, "tear")
    height, width = image.shape
    is_upright = bool(rng.random() < 0.5)
    length, across = (height, width) if is_upright else (width, height)
    wander = gaussian_filter1d(rng.normal(size=length), 1000 / um_per_px) * np.sqrt(1000 / um_per_px)
    centre = across * rng.uniform(0.35, 0.65) + wander * 2000 / um_per_px + np.linspace(-0.08, 0.08, length) * across
    opening = 500 / um_per_px * np.clip(1 + 0.6 * gaussian_filter1d(rng.normal(size=length), 30) * 8, 0.4, 1.6)
    is_open = np.abs(np.arange(across)[None, :] - centre[:, None]) < 0.5 * opening[:, None]
    grey = np.clip(np.rint(rng.normal(background, 2.5, image.shape)), 0, 255).astype(np.uint8)
    return np.where(is_open if is_upright else is_open.T, grey, image)


def stain_gradient(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Return the factor of the absorption in each pixel, (h, w): a ramp in a random direction, 0.65 to 1.4."""
    angle = generator(seed, "gradient").uniform(0, 2 * np.pi)
    rows, columns = np.linspace(-0.5, 0.5, shape[0])[:, None], np.linspace(-0.5, 0.5, shape[1])[None, :]
    ramp = (np.cos(angle) * columns + np.sin(angle) * rows) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    return np.exp(np.log(1.4 / 0.65) * ramp + 0.5 * np.log(1.4 * 0.65)).astype(np.float32)
