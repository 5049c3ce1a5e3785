"""From cells to grey: sections of simulated tissue, dark cell bodies on a bright background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cytomesh.core.random import generator
from cytomesh.phantom.config import SectionConfig, StainConfig
from cytomesh.phantom.fields import smooth_field
from cytomesh.phantom.profiles import CELLS_UM, Profiles, class_shares
from cytomesh.phantom.ribbon import SlabRibbon

BACKGROUND_GREY = 244.0
ABSORPTION = 4.0
"""Optical density of a fully covered pixel."""
NEUROPIL = 0.05
GLIA_PER_MM3 = 5.5e4
"""Cells of the white matter, all of the smallest class."""
WHITE_MATTER = 0.02
COLUMN_MM = (0.35, 0.7)
"""Wavelengths of the columnar arrangement."""


@dataclass(frozen=True)
class BrainStain:
    """How one brain differs from the others in its stain.

    Parameters
    ----------
    gain : float
        Factor of the absorption.
    density : float
        Factor of the cell density.
    offset : float
        Grey levels added everywhere.
    """

    gain: float
    density: float
    offset: float


def draw_stain(settings: StainConfig, seed: int, brain: str) -> BrainStain:
    """Draw the stain of one brain."""
    rng = generator(seed, "stain", brain)
    gain, density = np.exp(rng.normal(0, (settings.gain_sd, settings.density_sd)))
    return BrainStain(float(gain), float(density), float(rng.normal(0, 3.0)))


def cells(
    ribbon: SlabRibbon,
    layers: NDArray[np.uint8],
    profiles: Profiles,
    settings: SectionConfig,
    density: float,
    seed: int,
) -> NDArray[np.float32]:
    """Draw the number of cells of each size class in each pixel of the ribbon, (n, 4).

    Numbers are Poisson with the density of the pixel's area and layer, modulated by slow fluctuation along the sheet
    and by columns.
    """
    volume_mm3 = (1e-3 * settings.um_per_px) ** 2 * 1e-3 * settings.thickness_um
    waves = smooth_field(seed, "columns", rms=1.0, wavelength=COLUMN_MM, components=1)
    column = _columns(waves.waves[:8], waves.phases[:8], ribbon.feet)
    row, layer = ribbon.labels, layers.astype(np.int64) - 1
    log_density = ribbon.sheet[np.arange(len(layer)), layer] + profiles.columnarity[row].astype(np.float32) * column
    expected = (profiles.density[row, layer] * density * volume_mm3).astype(np.float32) * np.exp(log_density)
    shares = class_shares(profiles.size).astype(np.float32)[row, layer]
    return generator(seed, "cells").poisson(expected[:, None] * shares).astype(np.float32)


def glia(count: int, settings: SectionConfig, density: float, seed: int) -> NDArray[np.float32]:
    """Draw the number of cells in each of `count` pixels of white matter."""
    volume_mm3 = (1e-3 * settings.um_per_px) ** 2 * 1e-3 * settings.thickness_um
    return generator(seed, "glia").poisson(GLIA_PER_MM3 * density * volume_mm3, count).astype(np.float32)


def coverage(
    shape: tuple[int, int],
    ribbon: SlabRibbon,
    counts: NDArray[np.float32],
    white: NDArray[np.bool_],
    white_counts: NDArray[np.float32],
    um_per_px: float,
    blur_um: float,
) -> NDArray[np.float32]:
    """Return the share of each pixel's area that cells cover, (h, w), blurred by cell size and optics."""
    total = np.zeros(shape, np.float32)
    share = (np.pi / 4 * CELLS_UM**2 / um_per_px**2).astype(np.float32)
    # a cell's disc spreads over a quarter of its diameter (standard deviation); classes that blur alike go together
    sigma = np.round(np.hypot(CELLS_UM / 4, blur_um) / um_per_px, 1)
    for value in np.unique(sigma):
        layer = np.zeros(shape, np.float32)
        members = np.flatnonzero(sigma == value)
        layer[ribbon.rows, ribbon.columns] = counts[:, members] @ share[members]
        if 0 in members:
            layer[white] = white_counts * share[0]
        total += gaussian_filter(layer, value, mode="constant", truncate=3.0) if value > 0 else layer
    return total


def develop(
    covered: NDArray[np.float32],
    ribbon: SlabRibbon,
    white: NDArray[np.bool_],
    stain: BrainStain,
    section_gain: float,
    gradient: NDArray[np.float32] | float,
    noise_grey: float,
    seed: int,
) -> NDArray[np.uint8]:
    """Turn coverage into an 8-bit image: Beer-Lambert absorption, sensor noise.

    Parameters
    ----------
    gradient : (h, w) float32 or float
        Factor of the absorption in each pixel.
    """
    density = ABSORPTION * covered
    density[ribbon.rows, ribbon.columns] += NEUROPIL
    density[white] += WHITE_MATTER
    density *= np.float32(stain.gain * section_gain) * gradient
    grey = np.float32(BACKGROUND_GREY) * np.exp(-density) + np.float32(stain.offset)
    noise = generator(seed, "sensor").standard_normal(covered.shape, np.float32)
    return np.clip(np.rint(grey + np.float32(noise_grey) * noise), 0, 255).astype(np.uint8)


def _columns(waves: NDArray[np.float64], phases: NDArray[np.float64], feet: NDArray[np.float32]) -> NDArray[np.float32]:
    total = np.zeros(len(feet), np.float32)
    for wave, phase in zip(waves.astype(np.float32), phases.astype(np.float32), strict=True):
        total += np.cos(feet @ wave + phase)
    return total * np.float32(np.sqrt(2 / len(waves)))
