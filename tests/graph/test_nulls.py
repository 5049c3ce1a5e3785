"""Rotations of the sphere."""

import numpy as np
import pytest

from cytomesh.core.errors import GraphError, MissingStageError
from cytomesh.graph.nulls import load_spheres, rotated_labels, rotations, spin_sources
from cytomesh.graph.storage import load_graphs


def test_spins_are_rotations(synthetic):
    graph = synthetic.graph(subdivisions=4)
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


def test_a_sphere_that_is_none_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(GraphError, match="sphere"):
        spin_sources(rng.normal(size=(50, 3)), np.eye(3))


def test_rotations_keep_sizes_and_mirror(hemisphere_run):
    graphs = load_graphs(hemisphere_run)
    spheres = load_spheres(hemisphere_run, graphs)
    same = rotated_labels(spheres, graphs, np.eye(3))
    for labels, graph in zip(same, graphs, strict=True):
        np.testing.assert_array_equal(labels, graph.annotation)
    rotation = rotations(1, seed=4)[0]
    left, right = rotated_labels(spheres, graphs, rotation)
    assert (left != graphs[0].annotation).mean() > 0.3
    # the right hemisphere is the mirror image of the left: so are its rotated labels
    mirrored = spheres[0] * [-1, 1, 1]
    partner = ((mirrored[:, None] - spheres[1][None]) ** 2).sum(-1).argmin(axis=1)
    agreement = (left == right[partner]).mean()
    assert agreement > 0.9
    with_holes = (left == 0).mean()
    assert with_holes < 0.4


def test_no_sphere(synthetic, tmp_path):
    graph = synthetic.save(tmp_path, synthetic.graph())
    (tmp_path / "graphs" / graph.name / "sphere.surf.gii").unlink()
    with pytest.raises(MissingStageError, match="no sphere"):
        load_spheres(tmp_path, [graph])
