"""Lowest eigenvectors of large sparse graphs: Chebyshev-filtered subspace iteration from a coarser graph.

Zhou, Saad, Tiago & Chelikowsky, Self-consistent-field calculations using Chebyshev-filtered subspace iteration, 2006,
algorithm 4.1. The filter runs in float32 (it needs no accuracy, only growth), Rayleigh-Ritz and residuals in float64.
A factorisation for shift-invert fills in more than linearly with the mesh, and its triangular solves use one core.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from numpy.typing import NDArray
from pyamg.aggregation import standard_aggregation
from scipy.sparse.csgraph import reverse_cuthill_mckee
from threadpoolctl import threadpool_limits

from cytomesh.core.errors import QualityError
from cytomesh.core.parallel import available_cpus
from cytomesh.core.random import generator
from cytomesh.surface.compiled import kernel

# Columns that one pass over the graph treats; a constant lets the compiler keep a row in vector registers.
BLOCK = 64
# Growth of the lowest eigenvector in one filter, as a logarithm: more would drown the others in float32.
LOG_GROWTH = 9.0
MAX_DEGREE = 400
MAX_SWEEPS = 12
COARSE_SWEEPS = 2
DENSE_NODES = 1500


def chebyshev_eigenpairs(
    weights: sp.csr_matrix, k: int, tolerance: float, source: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the k lowest eigenpairs of I - D^-1/2 W D^-1/2 of a connected graph.

    Parameters
    ----------
    weights : (n, n) CSR
        Symmetric, >= 0; self-loops are allowed.
    tolerance : float
        Iteration ends when every |L v - lambda v| is below.

    Returns
    -------
    eigenvalues, vectors : (k,), (n, k) float64

    Raises
    ------
    QualityError
        If the tolerance is not reached.
    """
    n_columns = BLOCK * -(-(k + max(8, k // 8)) // BLOCK)
    # Products of tall and small matrices are limited by memory: BLAS threads wait for each other (20 times slower).
    with threadpool_limits(1):
        values, vectors, residual = _solve(weights, k, n_columns, tolerance, MAX_SWEEPS)
    if not residual <= tolerance:  # also catches NaN
        hint = "set spectral.solver: shift_invert, or raise spectral.tolerance"
        raise QualityError(
            source, "eigenvectors", found=f"residual {residual:.1e}", expected=f"<= {tolerance:.1e}", hint=hint
        )
    return values[:k], vectors[:, :k]


def _solve(
    weights: sp.csr_matrix, k: int, n_columns: int, tolerance: float, max_sweeps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return `n_columns` approximate eigenpairs, or all of a smaller graph, and the largest residual of the first k."""
    root = np.sqrt(np.asarray(weights.sum(axis=1)).ravel())
    scale = sp.diags_array(1.0 / root)
    # W^: its largest eigenvalues are the smallest of L
    operator = sp.csr_matrix(scale @ weights @ scale)
    if operator.shape[0] <= max(DENSE_NODES, 4 * n_columns):
        values, vectors = sl.eigh(operator.toarray(), subset_by_index=[max(0, len(root) - n_columns), len(root) - 1])
        return 1.0 - values[::-1], vectors[:, ::-1], 0.0

    # The eigenvectors of the aggregated graph, spread out, are a start that has the right shape at large scale.
    member = sp.csr_matrix(standard_aggregation(weights)[0], dtype=np.float64)
    coarse = sp.csr_matrix(member.T @ weights @ member)
    values, vectors, _ = _solve(coarse, k, n_columns, 0.0, COARSE_SWEEPS)
    vectors = root[:, None] * (member @ (vectors / np.sqrt(np.asarray(coarse.sum(axis=1)).ravel())[:, None]))
    if vectors.shape[1] < n_columns:  # many edges per node leave few aggregates: chance fills the other columns
        shape = len(root), n_columns - vectors.shape[1]
        vectors = np.hstack([vectors, generator(0, "chebyshev start").standard_normal(shape)])

    order = reverse_cuthill_mckee(operator, symmetric_mode=True)  # neighbours near in memory
    operator = sp.csr_matrix(operator[order][:, order])
    single = operator.astype(np.float32)
    vectors, residual = vectors[order], np.inf
    for _ in range(max_sweeps):
        # aggregation keeps Rayleigh quotients: the first cut is that of the coarse graph, too high rather than too low
        vectors, values, residual = _rayleigh_ritz(operator, _filter(single, vectors, 1.0 - float(values[-1])), k)
        if residual <= tolerance:
            break
    result = np.empty_like(vectors)
    result[order] = vectors
    return values, result, residual


def _filter(operator: sp.csr_matrix, vectors: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Apply the Chebyshev polynomial that stays within +-1 on eigenvalues in [-1, cut] and grows above."""
    half, centre = 0.5 * (cut + 1.0), 0.5 * (cut - 1.0)
    growth = float(np.arccosh((1.0 - centre) / half))
    degree = int(np.clip(LOG_GROWTH / max(growth, 1e-12), 4, MAX_DEGREE))
    degree -= degree % 2  # the result lies in the first buffer after an even number of steps
    arrays = operator.indptr.astype(np.int32), operator.indices.astype(np.int32), operator.data

    def one_block(start: int) -> NDArray[np.float32]:
        block = np.ascontiguousarray(vectors[:, start : start + BLOCK], np.float32)
        _chebyshev(*arrays, block, np.zeros_like(block), np.float32(1.0 / half), np.float32(-centre / half), degree)
        return block

    # each block is computed alike whichever thread takes it
    with ThreadPoolExecutor(min(available_cpus(), 8)) as pool:
        blocks = list(pool.map(one_block, range(0, vectors.shape[1], BLOCK)))
    return np.concatenate(blocks, axis=1).astype(np.float64)


@kernel
def _chebyshev(starts, columns, weights, even, odd, slope, shift, degree):  # type: ignore[no-untyped-def]
    """T_{j+1} = 2 (slope W + shift) T_j - T_{j-1}, in two buffers in turn; `even` holds T_0 at first."""
    row = np.empty(BLOCK, np.float32)
    for step in range(degree):
        if step % 2 == 0:
            source, target = even, odd
        else:
            source, target = odd, even
        factor = np.float32(1.0) if step == 0 else np.float32(2.0)
        for i in range(len(starts) - 1):
            for c in range(BLOCK):
                row[c] = factor * shift * source[i, c] - target[i, c]
            for entry in range(starts[i], starts[i + 1]):
                weight, j = factor * slope * weights[entry], columns[entry]
                for c in range(BLOCK):
                    row[c] += weight * source[j, c]
            for c in range(BLOCK):
                target[i, c] = row[c]


def _rayleigh_ritz(
    operator: sp.csr_matrix, vectors: NDArray[np.float64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return orthonormal Ritz vectors, their eigenvalues of L (ascending) and the largest residual of the first k."""
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-300)
    image = operator @ vectors
    product = vectors.T @ image
    try:
        found, rotation = sl.eigh(0.5 * (product + product.T), vectors.T @ vectors)
    except np.linalg.LinAlgError:  # the filter left columns that are dependent to rounding
        return _rayleigh_ritz(operator, np.linalg.qr(vectors)[0], k)
    rotation, found = rotation[:, ::-1], found[::-1]
    vectors, image = vectors @ rotation, image @ rotation
    residual = float(np.linalg.norm(image[:, :k] - vectors[:, :k] * found[:k], axis=0).max())
    return vectors, 1.0 - found, residual
