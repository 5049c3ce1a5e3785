"""The inflated surface: as smooth as it can be without stretching the cortex much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import splu
from torch import Tensor

from cytomesh.register.distortion import Points, flat_edges, jacobians, symmetric_dirichlet
from cytomesh.register.minimise import minimise
from cytomesh.register.operators import stiffness
from cytomesh.register.sphere import turned_to
from cytomesh.surface.mesh import Mesh

BENDING = 1e-3
"""Weight of bending against stretch, for a surface with the area of the unit sphere: sulci open, lobes stay."""
N_ITERATIONS = 150
TOLERANCE = 1e-5


def inflate(surface: Mesh) -> Mesh:
    """Open the sulci of a surface: the least of stretch and bending together.

    Stretch is the symmetric Dirichlet energy (see `SphereDistortion`; here turned triangles count as they are, since
    there is no outside), bending half the integral of the squared Laplacian of the positions (the thin-plate energy of
    Desbrun et al., Implicit fairing of irregular meshes, 1999, to which the mean curvature's square is equal where
    lengths are kept). What FreeSurfer's inflation does by steps along springs (Fischl, Sereno and Dale, NeuroImage 9,
    1999) has an end here: a minimum.

    Parameters
    ----------
    surface : Mesh
        In one piece; mm.

    Returns
    -------
    Mesh
        The same faces, area, middle and orientation; mm.
    """
    radius = np.sqrt(surface.area_mm2 / (4.0 * np.pi))
    small = Mesh(surface.vertices / radius, surface.faces)
    laplacian, areas = stiffness(small), small.vertex_areas
    bending = (laplacian @ sp.diags(1.0 / np.maximum(areas, 1e-12)) @ laplacian).tocsr()
    stretch = _stretch(small)

    def energy(positions: Tensor) -> Tensor:
        return stretch(positions) + BENDING * _Quadratic.apply(positions, bending)

    model = 2.0 / (4.0 * np.pi) * laplacian + BENDING * bending + 1e-3 * sp.diags(areas)
    found, _ = minimise(
        energy,
        small.vertices,
        splu(model.tocsc()).solve,
        torch.device("cpu"),
        n_iterations=N_ITERATIONS,
        tolerance=TOLERANCE,
        retract=np.asarray,
    )
    middle = np.average(surface.vertices, axis=0, weights=areas)
    found = turned_to(surface, found - np.average(found, axis=0, weights=areas))
    return Mesh(middle + found * np.sqrt(surface.area_mm2 / Mesh(found, surface.faces).area_mm2), surface.faces)


def _stretch(surface: Mesh) -> Callable[[Tensor], Tensor]:
    flat = flat_edges(surface, 1.0)
    inverse, faces = torch.as_tensor(np.linalg.inv(flat)), torch.as_tensor(surface.faces)
    shares = torch.as_tensor(surface.face_areas / surface.area_mm2)

    def energy(positions: Tensor) -> Tensor:
        a, b, c = (positions[faces[:, corner]] for corner in range(3))
        jacobian = jacobians(a, b, c, inverse)
        area = torch.linalg.cross(jacobian[..., 0], jacobian[..., 1]).norm(dim=1)
        return symmetric_dirichlet(jacobian, area, shares)

    return energy


class _Quadratic(torch.autograd.Function):
    """x^T B x / 2 of a SciPy matrix."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, matrix: sp.csr_matrix) -> Tensor:
        x = positions.detach().numpy()
        pulls: Points = matrix @ x
        ctx.pulls = torch.as_tensor(pulls)
        return torch.as_tensor(0.5 * float((pulls * x).sum()))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0] * ctx.pulls, None
