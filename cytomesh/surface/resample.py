"""Even triangles of a chosen edge length: uniform Voronoi clustering (ACVD) that must not change the topology."""

from __future__ import annotations

import warnings

import numpy as np
import pyacvd
import pyvista
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.mesh import Mesh


def resample(mesh: Mesh, edge_length_mm: float) -> Mesh:
    """Resample to triangles of about the given edge length with pyacvd (Valette and Chassery 2004).

    Raises
    ------
    SurfaceError
        The clusters are too coarse to represent the surface: its Euler number changed or it is not closed.
    """
    # equilateral triangles: sqrt(3)/2 e^2 of area for each vertex
    n_vertices = max(int(round(mesh.area_mm2 / (np.sqrt(3) / 2 * edge_length_mm**2))), 12)
    with warnings.catch_warnings():
        # pyacvd 0.4 uses a deprecated attribute of pyvista 0.49
        warnings.simplefilter("ignore", pyvista.PyVistaDeprecationWarning)
        resampled = _cluster(mesh, n_vertices)
    if resampled.euler_number != mesh.euler_number or not resampled.is_closed:
        raise SurfaceError(
            "midsurface",
            found=f"Euler number {resampled.euler_number} after resampling to {edge_length_mm} mm",
            expected=f"a closed surface with {mesh.euler_number}",
            hint="use a smaller edge_length_mm",
        )
    return resampled


def orient_outwards(mesh: Mesh) -> Mesh:
    """Flip all faces of a consistently oriented surface if it encloses negative volume."""
    return Mesh(mesh.vertices, mesh.faces[:, ::-1]) if mesh.volume_mm3 < 0 else mesh


def _cluster(mesh: Mesh, n_vertices: int) -> Mesh:
    surface = pyvista.PolyData.from_regular_faces(mesh.vertices, mesh.faces)
    clustering = pyacvd.Clustering(surface)
    while clustering.mesh.n_points < 8 * n_vertices:
        clustering.subdivide(2)
    clustering.cluster(n_vertices)
    result = clustering.create_mesh()
    return orient_outwards(Mesh(np.asarray(result.points, float), np.asarray(result.regular_faces)))
