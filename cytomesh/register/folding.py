"""Folding at several scales: what a registration goes by where nothing but the surface is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from cytomesh.register.operators import stiffness
from cytomesh.surface.mesh import Mesh, mean_curvature


def depth_potential(surface: Mesh, lengths_mm: Sequence[float]) -> NDArray[np.float64]:
    """Return the depth potential of a surface, one column a length, (n, k); high in sulci.

    Solves (M / l^2 + L) d = 2 M (h - H): curvature H against its mean h, summed up over what lies within about l. With
    small l it is the curvature, with large l the depth of sulci, and it needs no hull (Boucher, Whitesides and Evans,
    Depth potential function for folding pattern representation, registration and analysis, Medical Image Analysis 13,
    2009, eq. 8, where alpha is 1 / l^2).

    Parameters
    ----------
    surface : Mesh
        mm.
    lengths_mm : sequence of float
    """
    areas = surface.vertex_areas
    curvature = mean_curvature(surface)
    source = 2.0 * areas * (np.average(curvature, weights=areas) - curvature)
    laplacian = stiffness(surface)
    columns = [splu((sp.diags(areas / length**2) + laplacian).tocsc()).solve(source) for length in lengths_mm]
    return np.stack(columns, axis=1)
