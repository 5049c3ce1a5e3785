"""Values of one surface's vertices at those of another, on spheres that are registered."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.register.operators import Floats
from cytomesh.register.spherical import SphereLocator
from cytomesh.surface.mesh import Mesh, unit


def resampling(
    source: Mesh,
    target: Mesh,
    source_areas: Floats | None = None,
    target_areas: Floats | None = None,
    is_known: NDArray[np.bool_] | None = None,
) -> sp.csr_matrix:
    """Return the weights of a source's vertices at each vertex of a target, (n_target, n_source) CSR.

    Adaptive barycentric weights, corrected for area, as Connectome Workbench takes them (ADAP_BARY_AREA in
    SurfaceResamplingHelper; Glasser et al., NeuroImage 80, 2013): where the source is finer, a target vertex takes in
    all source vertices whose triangle of the target it is a corner of; where it is coarser, the corners of the source's
    triangle in which it lies. So every vertex of the source is heard, in proportion to its area. The triangle of a
    place is that which the ray from the middle hits; Workbench takes the nearest, on fine meshes the same.

    Parameters
    ----------
    source, target : Mesh
        Registered spheres of any radius, around the origin.
    source_areas, target_areas : (n,) float64, optional
        Of the vertices, of the surfaces that the spheres stand for; by default of the spheres.
    is_known : (n_source,) bool, optional
        Vertices that count; all by default.

    Returns
    -------
    csr_matrix
        Rows sum to 1; those that see no vertex that counts are empty.

    Raises
    ------
    SurfaceError
        If areas or a mask are of another mesh.
    """
    own = source.vertex_areas if source_areas is None else np.asarray(source_areas, np.float64)
    theirs = target.vertex_areas if target_areas is None else np.asarray(target_areas, np.float64)
    for name, found, mesh in (("source_areas", own, source), ("target_areas", theirs, target)):
        if found.shape != (mesh.n_vertices,):
            raise SurfaceError(name, found=f"shape {found.shape}", expected=f"({mesh.n_vertices},), one per vertex")
    here = _barycentric(source, target)
    there = _barycentric(target, source).T.tocsr()
    # the vertices that come from there and are not those of the triangle here
    shared = np.asarray(_ones(there).multiply(_ones(here)).sum(axis=1)).ravel()
    is_wider = np.diff(there.indptr) > shared
    weights = _rows(here, ~is_wider) + _rows(there, is_wider)
    weights = sp.diags(theirs) @ weights
    given = np.asarray(weights.sum(axis=0)).ravel()
    weights = weights @ sp.diags(np.divide(own, given, out=np.zeros_like(own), where=given > 0))
    if is_known is not None:
        if np.shape(is_known) != (source.n_vertices,):
            raise SurfaceError("is_known", found=f"shape {np.shape(is_known)}", expected=f"({source.n_vertices},)")
        weights = weights @ sp.diags(np.asarray(is_known, np.float64))
    totals = np.asarray(weights.sum(axis=1)).ravel()
    shares = sp.diags(np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)) @ weights
    found = sp.csr_matrix(shares)
    found.eliminate_zeros()
    return found


def resample_numbers(weights: sp.csr_matrix, values: Floats) -> Floats:
    """Return means of (n_source,) or (n_source, k) numbers at the target's vertices; NaN where nothing is known.

    NaN of the source does not count.
    """
    columns = np.asarray(values, np.float64).reshape(weights.shape[1], -1)
    is_number = np.isfinite(columns)
    total = weights @ np.where(is_number, columns, 0.0)
    share = weights @ is_number.astype(np.float64)
    found = np.divide(total, share, out=np.full_like(total, np.nan), where=share > 0)
    return found.reshape(weights.shape[0], *np.shape(values)[1:])


def resample_labels(weights: sp.csr_matrix, labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the label with the largest weight at each vertex of the target, (n_target,); 0 where nothing is known.

    Label 0 counts as none: it has no vote. Of equal labels the smaller wins.
    """
    found, _ = label_shares(weights, labels)
    return found


def label_shares(weights: sp.csr_matrix, labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], Floats]:
    """Return `resample_labels` and the share of the winner's weight among all labels, (n_target,); 0 without one."""
    known, column = np.unique(labels, return_inverse=True)
    n = len(labels)
    votes = (
        weights @ sp.csr_matrix((np.asarray(labels != 0, np.float64), (np.arange(n), column)), (n, len(known)))
    ).toarray()
    best = votes.argmax(axis=1)
    total = votes.sum(axis=1)
    most = votes[np.arange(len(votes)), best]
    winners = np.where(total > 0, known[best], 0).astype(np.int32)
    return winners, np.divide(most, total, out=np.zeros_like(most), where=total > 0)


def _barycentric(sphere: Mesh, at: Mesh) -> sp.csr_matrix:
    """Return the barycentric weights of a sphere's vertices at those of another, (n_at, n_sphere)."""
    face, weights = SphereLocator(sphere)(unit(at.vertices))
    rows = np.repeat(np.arange(at.n_vertices), 3)
    found = sp.csr_matrix((weights.ravel(), (rows, sphere.faces[face].ravel())), (at.n_vertices, sphere.n_vertices))
    found.eliminate_zeros()
    return found


def _ones(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones_like(matrix.data), matrix.indices, matrix.indptr), matrix.shape)


def _rows(matrix: sp.csr_matrix, keep: NDArray[np.bool_]) -> sp.csr_matrix:
    return sp.diags(keep.astype(np.float64)) @ matrix
