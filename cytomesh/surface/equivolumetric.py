"""Equivolumetric depth: cortical layers keep their share of the volume, not of the thickness, where cortex bends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def volume_share(
    pial_area: NDArray[np.float64], white_area: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of a column's volume that lies above a depth, (n,), 0 at pial and 1 at white.

    The cross-section of a column grows linearly from pial to white (Waehnert et al., NeuroImage 93, 2014):

        V(t) / V(1) = (A_p t + (A_w - A_p) t^2 / 2) / ((A_p + A_w) / 2)

    Parameters
    ----------
    pial_area, white_area : (n,) float64
        Cross-sections at the two ends, any unit.
    depth : (n,) float64
        Share t of the column's length, 0 at pial and 1 at white.
    """
    total = np.maximum(pial_area + white_area, 1e-12)
    return np.asarray((2 * pial_area * depth + (white_area - pial_area) * depth**2) / total)
