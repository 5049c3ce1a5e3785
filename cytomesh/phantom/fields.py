"""Smooth random fields: sums of random plane waves, evaluated exactly anywhere, with their values fixed by the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.random import generator

N_WAVES = 32
CHUNK = 65536


@dataclass(frozen=True)
class SmoothField:
    """A field of `c` components: sum over waves of coefficient * cos(k . x + phase).

    Parameters
    ----------
    waves : (m, 3) float64
        Wave vectors, radians per unit of length.
    phases : (m,) float64
        Radians.
    coefficients : (m, c) float64
        Amplitudes.
    """

    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    coefficients: NDArray[np.float64]

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evaluate at (n, 3) points: (n, c)."""
        parts = [
            np.cos(points[i : i + CHUNK] @ self.waves.T + self.phases) @ self.coefficients
            for i in range(0, len(points), CHUNK)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.coefficients.shape[1]))


def smooth_field(
    seed: int, *names: str | int, rms: float, wavelength: tuple[float, float], components: int = 3
) -> SmoothField:
    """Make a field with root mean square `rms` in each component and wavelengths from a range (units of length)."""
    rng = generator(seed, "field", *names)
    directions = rng.normal(size=(N_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves = directions * (2 * np.pi / rng.uniform(*wavelength, size=(N_WAVES, 1)))
    phases = rng.uniform(0, 2 * np.pi, N_WAVES)
    coefficients = rng.normal(size=(N_WAVES, components))
    # cos averages to 1/2 squared, so the squares of a component's coefficients add up to 2 rms^2
    coefficients *= rms * np.sqrt(2 / (coefficients**2).sum(axis=0, keepdims=True))
    return SmoothField(waves, phases, coefficients)
