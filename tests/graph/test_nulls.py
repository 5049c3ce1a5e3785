"""Rotations of the sphere."""

import numpy as np
import pytest

from cytomesh.core.errors import GraphError
from cytomesh.graph.nulls import rotations, spin_sources
from tests.conftest import sphere_graph


def test_spins_are_rotations():
    graph = sphere_graph(subdivisions=4)
    sphere = graph.positions
    for turn in rotations(3, 0):
        source = spin_sources(sphere, turn)
        # the map is nearly one rotation without reflection: fit it and look at what is left
        left, scale, right = np.linalg.svd(sphere[source].T @ sphere)
        rotation = left @ right
        assert np.linalg.det(rotation) > 0
        assert np.linalg.norm(sphere[source] - sphere @ rotation.T, axis=1).max() < 4.0  # less than one edge
        assert np.linalg.norm(rotation - np.eye(3)) > 0.1
        assert scale.min() > 0


def test_a_rotation_that_is_none_is_refused():
    for wrong in (np.full((3, 3), np.nan), np.ones((3, 3)), 2 * np.eye(3), np.eye(4)):
        with pytest.raises(GraphError, match="rotation"):
            spin_sources(sphere_graph(subdivisions=1).positions, wrong)


def test_a_sphere_that_is_none_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(GraphError, match="sphere"):
        spin_sources(rng.normal(size=(50, 3)), np.eye(3))
