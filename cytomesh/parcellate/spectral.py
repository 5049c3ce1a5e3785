"""Eigenvectors of the symmetric normalised Laplacian, checked, and the number of parcels they suggest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cytomesh.core.errors import GraphError, QualityError
from cytomesh.core.random import generator
from cytomesh.parcellate.chebyshev import chebyshev_eigenpairs
from cytomesh.parcellate.config import SpectralConfig

DENSE_NODES = 400
# Above this many nodes a Chebyshev filter is faster than a factorisation and its solves (benchmarks/parcellate/large).
FACTORISED_NODES = 20_000
# Graphs of feature neighbours fill a factorisation in; their eigenvalues are far enough apart for plain Lanczos.
MESH_DEGREE = 12
# The shift lies below the spectrum, so that the matrix that is factorised is positive definite.
SHIFT = -1e-3


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The lowest eigenpairs of L = I - D^-1/2 W D^-1/2.

    Parameters
    ----------
    eigenvalues : (k,) float64
        Ascending, in 0..2; as many zeros as the graph has components.
    vectors : (n, k) float64
        Orthonormal columns; the entry of largest magnitude is positive.
    residual : float
        Largest |L v - lambda v|.
    n_components : int
        Connected components of the graph.
    """

    eigenvalues: NDArray[np.float64]
    vectors: NDArray[np.float64]
    residual: float
    n_components: int


def check_weights(weights: sp.csr_matrix, source: str) -> sp.csr_matrix:
    """Return the graph without its zero-weight edges and diagonal; GraphError unless it is symmetric, finite, >= 0."""
    graph = sp.csr_matrix(weights, dtype=np.float64, copy=True)
    if graph.shape[0] != graph.shape[1] or not np.isfinite(graph.data).all() or (graph.data < 0).any():
        raise GraphError(source, found="weights that are negative, NaN or not square", expected="finite weights >= 0")
    if abs(graph - graph.T).max() > 1e-9 * graph.data.max(initial=1.0):
        raise GraphError(source, found="an asymmetric weight matrix", expected="an undirected graph")
    graph.setdiag(0.0)
    graph.eliminate_zeros()
    return graph


def normalised_laplacian(weights: sp.csr_matrix) -> sp.csr_matrix:
    """L = I - D^-1/2 W D^-1/2 (Chung, Spectral graph theory, 1997); a node without edges has L = 0 there."""
    degree = np.asarray(weights.sum(axis=1)).ravel()
    scale = np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    half = sp.diags_array(scale)
    return sp.csr_matrix(sp.diags_array((degree > 0).astype(np.float64)) - half @ weights @ half)


def lowest_eigenpairs(
    weights: sp.csr_matrix, k: int, settings: SpectralConfig, seed: int, source: str = "affinity graph"
) -> Spectrum:
    """Compute the k lowest eigenpairs, component by component, and refuse them unless they solve the equation.

    Raises
    ------
    GraphError
        If k exceeds the number of nodes, or the weights are no graph.
    QualityError
        If a residual is above `settings.tolerance`, or the vectors are not orthonormal.
    """
    graph = check_weights(weights, source)
    n = graph.shape[0]
    if not 1 <= k <= n:
        raise GraphError(source, found=f"{k} eigenvectors of {n} nodes", expected="at most one per node")
    laplacian = normalised_laplacian(graph)
    n_components, piece = connected_components(graph, directed=False)
    values: list[NDArray[np.float64]] = []
    columns: list[sp.csc_matrix] = []
    for component in range(n_components):
        nodes = np.flatnonzero(piece == component)
        some_values, some_vectors = _solve(graph[nodes][:, nodes], min(k, len(nodes)), settings, seed, source)
        some_values[np.argmin(some_values)] = 0.0  # a connected component has exactly one, D^1/2 1
        values.append(some_values)
        spread = sp.csr_matrix(some_vectors).tocoo()
        shape = (n, some_vectors.shape[1])
        columns.append(sp.csc_matrix((spread.data, (nodes[spread.row], spread.col)), shape=shape))
    eigenvalues = np.concatenate(values)
    order = np.argsort(eigenvalues, kind="stable")[:k]
    vectors = _fix_signs(sp.hstack(columns, format="csc")[:, order].toarray())
    eigenvalues = eigenvalues[order]
    residual = check_eigenpairs(laplacian, eigenvalues, vectors, settings.tolerance, source)
    return Spectrum(eigenvalues, vectors, residual, n_components)


def check_eigenpairs(
    laplacian: sp.csr_matrix,
    eigenvalues: NDArray[np.float64],
    vectors: NDArray[np.float64],
    tolerance: float,
    source: str,
) -> float:
    """Return the largest residual |L v - lambda v|, or raise QualityError if the pairs are wrong."""
    residual = float(np.linalg.norm(laplacian @ vectors - vectors * eigenvalues, axis=0).max())
    overlap = float(np.abs(vectors.T @ vectors - np.eye(vectors.shape[1])).max())
    if not (residual <= tolerance and overlap <= max(1e-6, 10 * tolerance)):  # also catches NaN
        found = f"largest residual {residual:.1e}, departure from orthonormality {overlap:.1e}"
        hint = "set spectral.solver: shift_invert"
        raise QualityError(source, "eigenvectors", found=found, expected=f"residuals <= {tolerance:.1e}", hint=hint)
    return residual


def eigengap(eigenvalues: NDArray[np.float64], lowest: int, highest: int) -> int:
    """Return the k in lowest..highest with the widest relative gap (lambda_{k+1} - lambda_k) / lambda_{k+1}.

    On a surface eigenvalues grow about linearly (Weyl's law), so absolute gaps would not shrink and the relative one
    would favour small k; each gap is therefore taken relative to the mean gap of the eight around it.
    """
    gaps = np.diff(eigenvalues)
    window = np.ones(9) / 9
    around = np.convolve(np.pad(gaps, 4, mode="edge"), window, mode="valid")
    ratio = gaps / np.maximum(around, 1e-12)
    ks = np.arange(1, len(eigenvalues))
    allowed = (ks >= lowest) & (ks <= highest)
    if not allowed.any():
        raise GraphError("eigengap", found=f"{len(eigenvalues)} eigenvalues", expected=f"more than {lowest}")
    return int(ks[allowed][np.argmax(ratio[allowed])])


def _solve(
    weights: sp.csr_matrix, k: int, settings: SpectralConfig, seed: int, source: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = weights.shape[0]
    laplacian = normalised_laplacian(weights)
    solver = settings.solver
    if n <= max(DENSE_NODES, 3 * k):
        values, vectors = sl.eigh(laplacian.toarray(), subset_by_index=[0, k - 1])
        return values, vectors
    if solver == "auto":
        solver = "chebyshev" if n > FACTORISED_NODES else "lanczos" if weights.nnz > MESH_DEGREE * n else "shift_invert"
    if solver == "chebyshev":
        values, vectors = chebyshev_eigenpairs(weights, k, settings.tolerance, source)
    else:
        start = generator(seed, "lanczos start").standard_normal(n)
        lanczos = _shift_invert if solver == "shift_invert" else _lanczos
        try:
            values, vectors = lanczos(laplacian, k, start)
        except sla.ArpackError as cause:
            found = f"no convergence ({cause})"
            raise QualityError(source, "eigenvectors", found=found, hint="set spectral.solver: chebyshev") from cause
    order = np.argsort(values, kind="stable")
    return values[order], vectors[:, order]


def _lanczos(
    laplacian: sp.csr_matrix, k: int, start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = laplacian.shape[0]
    # 2 - L: the wanted end of the spectrum is the one that Lanczos finds first
    values, vectors = sla.eigsh(
        2.0 * sp.identity(n) - laplacian, k, which="LA", v0=start, ncv=min(n, 2 * k + 20), tol=1e-9
    )
    return 2.0 - values, vectors


def _shift_invert(
    laplacian: sp.csr_matrix, k: int, start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = laplacian.shape[0]
    shifted = sp.csc_matrix(laplacian - SHIFT * sp.identity(n, format="csr"))
    # Positive definite: pivoting is not needed, and without it the ordering for symmetric fill-in holds.
    factor = sla.splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    inverse = sla.LinearOperator((n, n), matvec=factor.solve, dtype=np.float64)
    ncv = min(n, 2 * k + 20)
    values, vectors = sla.eigsh(laplacian, k, sigma=SHIFT, OPinv=inverse, v0=start, ncv=ncv, tol=1e-10)
    return values, vectors


def _fix_signs(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    # The first entry within rounding of the largest: symmetric vectors have ties.
    magnitude = np.abs(vectors)
    first = np.argmax(magnitude >= 0.999 * magnitude.max(axis=0), axis=0)
    return vectors * np.where(vectors[first, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
