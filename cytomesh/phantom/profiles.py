"""Six-layer profiles of areas: relative thickness, cell density and cell size of each layer.

`RANGES` are wide bounds of what the tables of von Economo and Koskinas report for isocortical areas
(C. von Economo and G. N. Koskinas, Die Cytoarchitektonik der Hirnrinde des erwachsenen Menschen, 1925; digitised by
L. H. Scholtens et al., An MRI Von Economo-Koskinas atlas, NeuroImage 170, 2018). `TYPICAL` and the way in which areas
differ are the phantom's own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.random import generator
from cytomesh.phantom.fields import smooth_field

N_LAYERS = 6
LAYERS = ("I", "II", "III", "IV", "V", "VI")
# Of each layer: (lowest, highest). Fractions of the cortical thickness, cells per mm3, micrometres.
RANGES = {
    "thickness": np.array([(0.04, 0.18), (0.03, 0.16), (0.18, 0.45), (0.02, 0.22), (0.09, 0.32), (0.10, 0.40)]),
    "density": np.array([(3e3, 2e4), (2e4, 1.6e5), (1e4, 9e4), (2e4, 1.8e5), (8e3, 8e4), (1e4, 9e4)]),
    "size": np.array([(5.5, 11.0), (6.0, 14.0), (8.0, 24.0), (5.5, 13.0), (10.0, 32.0), (7.0, 20.0)]),
}
TYPICAL = {
    "thickness": np.array([0.10, 0.09, 0.30, 0.11, 0.19, 0.21]),
    "density": np.array([9e3, 6e4, 3.4e4, 6.5e4, 2.8e4, 3.6e4]),
    "size": np.array([7.5, 9.0, 13.0, 8.5, 16.0, 12.0]),
}
CELLS_UM = np.array([7.0, 11.0, 17.0, 27.0])
"""Diameters of the size classes that cells are drawn from."""
SPREAD = 0.30
"""Standard deviation of the logarithm of the cell diameter within a layer."""

# Standard deviation between areas of the logarithms. Size varies at constant ink (density falls as cells grow), which
# an intensity profile cannot see but texture shows.
THICKNESS_SD, INK_SD, SIZE_SD = 0.28, 0.28, 0.20
SHARED = 0.6
"""Share of the variance between areas that is smooth over the sheet, so that neighbours resemble each other."""


@dataclass(frozen=True)
class Profiles:
    """Layers of every label; row 0 stands for the medial wall.

    Parameters
    ----------
    thickness : (n + 1, 6) float64
        Fraction of the cortical thickness, rows add up to 1.
    density : (n + 1, 6) float64
        Cells per mm3.
    size : (n + 1, 6) float64
        Typical cell diameter, um.
    columnarity : (n + 1,) float64
        Strength of the columnar arrangement of cells, as the modulation of log density.
    """

    thickness: NDArray[np.float64]
    density: NDArray[np.float64]
    size: NDArray[np.float64]
    columnarity: NDArray[np.float64]

    @property
    def boundaries(self) -> NDArray[np.float64]:
        """Depths (0 pial, 1 white) between layers, (n + 1, 5)."""
        return np.cumsum(self.thickness, axis=1)[:, :-1]

    @property
    def ink(self) -> NDArray[np.float64]:
        """Share of a cut's area that cell bodies cover, per um of section thickness, (n + 1, 6)."""
        return self.density * 1e-9 * cell_area_um2(self.size)

    def layers(self, labels: NDArray[np.int32], depths: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Return the layer, 1..6, at depths (n,) in areas `labels` (n,)."""
        return (1 + (depths[:, None] > self.boundaries[labels]).sum(axis=1)).astype(np.uint8)


def class_shares(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each size class (..., 4) around a typical diameter (...), um."""
    weight = np.exp(-0.5 * ((np.log(CELLS_UM) - np.log(size)[..., None]) / SPREAD) ** 2)
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def cell_area_um2(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean area of a cell's profile, um2, for a typical diameter (...), um."""
    return np.asarray(class_shares(size) @ (np.pi / 4 * CELLS_UM**2))


def draw_profiles(positions: NDArray[np.float64], contrast: float, seed: int) -> Profiles:
    """Draw the layers of each area.

    Parameters
    ----------
    positions : (n, 3) float64
        Where each area lies on the unit sphere: areas near each other get similar profiles.
    contrast : float
        Scale of the differences between areas.
    """
    n = len(positions)
    shared = smooth_field(seed, "profiles", rms=1.0, wavelength=(1.6, 3.2), components=19)(positions)
    own = generator(seed, "profiles").normal(size=(n, 19))
    drawn = np.sqrt(SHARED) * _standard(shared) + np.sqrt(1 - SHARED) * _standard(own)
    drawn = np.concatenate([np.zeros((1, 19)), contrast * _standard(drawn)])
    thickness = TYPICAL["thickness"] * np.exp(THICKNESS_SD * drawn[:, :6])
    for _ in range(8):  # fractions stay in range while they add up to 1
        thickness = _clip(thickness / thickness.sum(axis=1, keepdims=True), "thickness")
    thickness /= thickness.sum(axis=1, keepdims=True)
    size = _clip(TYPICAL["size"] * np.exp(SIZE_SD * drawn[:, 6:12]), "size")
    ink = TYPICAL["density"] * cell_area_um2(TYPICAL["size"]) * np.exp(INK_SD * drawn[:, 12:18])
    density = _clip(ink / cell_area_um2(size), "density")
    typical = float(TYPICAL["thickness"] @ (TYPICAL["density"] * cell_area_um2(TYPICAL["size"])))
    # Every area covers the same share of the ribbon with cells: mean grey does not give it away.
    density *= typical / (thickness * density * cell_area_um2(size)).sum(axis=1, keepdims=True)
    columnarity = np.clip(0.25 + 0.12 * drawn[:, 18], 0.0, 0.6)
    return Profiles(thickness, density, size, columnarity)


def _clip(values: NDArray[np.float64], quantity: str) -> NDArray[np.float64]:
    low, high = RANGES[quantity].T
    # a tenth inside, since rows are scaled once more afterwards
    return np.clip(values, 1.1 * low, high / 1.1)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean(axis=0)
    return np.asarray(centred / np.maximum(values.std(axis=0), 1e-9))
