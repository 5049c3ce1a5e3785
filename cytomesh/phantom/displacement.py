"""Borders that move against folding: where each place of one brain lies in the common atlas.

How well folding predicts an area depends on the area: least variable against the folds are primary and secondary areas,
most variable those of higher order (B. Fischl et al., Cortical folding patterns and predicting cytoarchitecture,
Cerebral Cortex 18, 2008). Variability of single areas: K. Amunts et al., Broca's region revisited, J. Comp. Neurol.
412, 1999; K. Amunts et al., Brodmann's areas 17 and 18 brought into stereotaxic space, NeuroImage 11, 2000; S. Caspers
et al., The human inferior parietal cortex, NeuroImage 33, 2006. So what lies around the primary visual, motor,
somatosensory and auditory cortex of fsaverage moves less here, and all else more. By how many millimetres is the
phantom's own choice, and so is how fast that changes along the sheet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.phantom.config import DisplacementConfig
from cytomesh.phantom.fields import smooth_field
from cytomesh.phantom.geometry import PhantomCortex

RADIAN_MM = 78.0
"""Length on the cortical sheet of one radian on its sphere: sqrt(76,000 mm2 / (4 pi))."""
PRIMARY_MM = np.array([
    (10.0, -92.0, 0.0), (12.0, -82.0, 5.0), (16.0, -70.0, 8.0),  # calcarine sulcus: visual
    (52.0, -8.0, 32.0), (44.0, -16.0, 46.0), (36.0, -26.0, 58.0), (10.0, -34.0, 68.0),  # central: motor, somatosensory
    (42.0, -23.0, 9.0),  # Heschl's gyrus: auditory
])  # fmt: skip
"""Places of primary cortex in fsaverage's space, of the right hemisphere; x changes its sign on the left."""
NEAR_MM = 25.0
"""Distance along the sheet over which the primary character fades."""
WAVELENGTH = (0.6, 1.2)
"""Wavelengths of the displacement, radians on the sphere."""
STEPS = 8


def association(cortex: PhantomCortex) -> NDArray[np.float64]:
    """Return how far each vertex of the template is from primary cortex, (n,) float64: 0 within, towards 1 elsewhere.

    1 - exp(-(d / 25 mm)^2), d the distance along the sheet from the nearest place of primary cortex.
    """
    midsurface = cortex.midsurface
    side = np.sign(midsurface[:, 0].mean())
    _, places = cKDTree(midsurface).query(PRIMARY_MM * (side, 1.0, 1.0))
    chord, _ = cKDTree(cortex.sphere[places]).query(cortex.sphere)
    distance = RADIAN_MM * 2 * np.arcsin(np.clip(0.5 * chord, 0, 1))
    return np.asarray(1 - np.exp(-((distance / NEAR_MM) ** 2)))


def displaced(cortex: PhantomCortex, settings: DisplacementConfig, seed: int, brain: str) -> NDArray[np.float64]:
    """Return where in the atlas each vertex of a brain finds its area: unit vectors (n, 3) float64.

    The flow of a smooth tangent vector field, so that nothing folds over: areas shift, grow and shrink, and stay whole.
    A brain's field is the same whatever else is set; the settings scale it.
    """
    if not settings.primary_mm and not settings.association_mm:
        return cortex.sphere
    share = association(cortex)
    sd = (settings.primary_mm + (settings.association_mm - settings.primary_mm) * share) / RADIAN_MM
    field = smooth_field(seed, "displacement", brain, rms=1.0, wavelength=WAVELENGTH)
    vertices = cKDTree(cortex.sphere)
    places = cortex.sphere
    for _ in range(STEPS):
        _, nearest = vertices.query(places)
        velocity = sd[nearest, None] * field(places)
        velocity -= (velocity * places).sum(axis=1, keepdims=True) * places
        places = places + velocity / STEPS
        places /= np.linalg.norm(places, axis=1, keepdims=True)
    return places
