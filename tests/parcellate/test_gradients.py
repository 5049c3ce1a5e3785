"""Diffusion maps against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.core.errors import GraphError
from cytomesh.parcellate.config import SpectralConfig
from cytomesh.parcellate.gradients import diffusion_map


def dense_diffusion_map(weights: np.ndarray, n: int) -> np.ndarray:
    """Coifman & Lafon, step by step."""
    degree = weights.sum(axis=1)
    scaled = weights / np.sqrt(np.outer(degree, degree))
    walk = scaled / scaled.sum(axis=1, keepdims=True)
    values, vectors = np.linalg.eig(walk)
    order = np.argsort(-values.real)
    values, vectors = values.real[order], vectors.real[:, order]
    vectors = vectors / np.sqrt((scaled.sum(axis=1)[:, None] * vectors**2).sum(axis=0))
    maps = (vectors * values / (1 - values + 1e-30))[:, 1 : n + 1]
    return maps / np.sqrt(np.mean(maps[:, 0] ** 2))


def test_components_are_the_formula() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((40, 2)) * [1.0, 3.0]
    weights = np.exp(-((points[:, None] - points) ** 2).sum(-1)) * (1 - np.eye(40))
    found = diffusion_map(sp.csr_matrix(weights), 3, SpectralConfig(), 0)
    np.testing.assert_allclose(np.abs(found), np.abs(dense_diffusion_map(weights, 3)), atol=1e-7)


def test_first_component_runs_along_a_strip() -> None:
    path = sp.csr_matrix(np.eye(50, k=1) + np.eye(50, k=-1))
    first = diffusion_map(path, 1, SpectralConfig(), 0)[:, 0]
    assert (np.diff(first) > 0).all() or (np.diff(first) < 0).all()


def test_too_many_components_are_refused() -> None:
    with pytest.raises(GraphError, match="n_gradients"):
        diffusion_map(sp.csr_matrix(1.0 - np.eye(4)), 4, SpectralConfig(), 0)
