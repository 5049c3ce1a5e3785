"""How a brain differs in shape from the template, and what registration knows of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.random import generator
from cytomesh.phantom.config import GeometryConfig
from cytomesh.phantom.fields import SmoothField, smooth_field
from cytomesh.phantom.geometry import PhantomCortex
from cytomesh.study.transforms import DisplacementField, ReferenceTransform

WAVELENGTH_MM = (70.0, 140.0)
MARGIN_MM = 8.0


@dataclass(frozen=True)
class Individual:
    """brain = linear @ (template + deformation(template)) + shift.

    Parameters
    ----------
    linear : (3, 3) float64
        Scale and shear.
    shift : (3,) float64
        Where the brain lies in its own world space, mm.
    deformation : SmoothField
        Individual shape, mm.
    error : SmoothField
        What registration gets wrong, on the template, mm.
    """

    linear: NDArray[np.float64]
    shift: NDArray[np.float64]
    deformation: SmoothField
    error: SmoothField

    def brain(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) template positions to this brain, mm."""
        return (points + self.deformation(points)) @ self.linear.T + self.shift

    def cortex(self, template: PhantomCortex) -> PhantomCortex:
        """Return the template's cortex in the shape and place of this brain."""
        return replace(template, pial=self.brain(template.pial), white=self.brain(template.white))

    def template(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) positions in this brain to the template: the true inverse, by fixed-point iteration."""
        start = (points - self.shift) @ np.linalg.inv(self.linear).T
        current = start
        for _ in range(40):
            current = start - self.deformation(current)
        return current

    def registration(self, cortex: PhantomCortex, step_mm: float) -> ReferenceTransform:
        """Return the brain-to-reference transform as registration would find it: the true one plus its error."""
        low = cortex.pial.min(axis=0) - MARGIN_MM
        shape = np.ceil((np.ptp(cortex.pial, axis=0) + 2 * MARGIN_MM) / step_mm).astype(int) + 1
        grid = low + step_mm * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
        true = self.template(grid)
        # reference = affine @ (p + displacement(p)), so the displacement is what the affine misses, in brain space
        displacement = (true + self.error(true)) @ self.linear.T + self.shift - grid
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.inv(self.linear)
        affine[:3, 3] = -affine[:3, :3] @ self.shift
        to_world = np.diag([step_mm, step_mm, step_mm, 1.0])
        to_world[:3, 3] = low
        return ReferenceTransform(
            affine, DisplacementField(displacement.reshape(*shape, 3).astype(np.float32), to_world)
        )


def individual(settings: GeometryConfig, seed: int, brain: str) -> Individual:
    """Draw one brain's shape."""
    rng = generator(seed, "shape", brain)
    return Individual(
        linear=np.eye(3) + rng.normal(0, settings.scale_sd, (3, 3)) * np.where(np.eye(3), 1.0, 0.5),
        shift=rng.normal(0, 4.0, 3),
        deformation=smooth_field(seed, "shape", brain, rms=settings.deformation_mm, wavelength=WAVELENGTH_MM),
        error=smooth_field(seed, "registration", brain, rms=settings.registration_error_mm, wavelength=(40.0, 90.0)),
    )
