import numpy as np
import pytest

from cytomesh.classify.nulls import spin_null
from cytomesh.core.errors import GraphError, MissingStageError
from cytomesh.graph.nulls import rotated_labels, rotations
from cytomesh.graph.spheres import load_spheres
from cytomesh.graph.storage import load_graphs
from cytomesh.surface.gifti import write_surface
from tests.conftest import sphere_mesh


def test_p_value_and_order():
    values = iter([0.1, 0.2, 0.9])
    graphs: list = []
    result = spin_null([], graphs, 3, 0, {"test": 0.5}, lambda labels: {"test": next(values)})
    assert result["test"]["p"] == pytest.approx(2 / 4)
    assert result["test"]["spins"] == [0.1, 0.2, 0.9]


def test_rotations_keep_sizes_and_mirror(hemisphere_run):
    graphs = load_graphs(hemisphere_run)
    spheres = load_spheres(hemisphere_run, graphs)
    same = next(rotated_labels(spheres, graphs, [np.eye(3)]))
    for labels, graph in zip(same, graphs, strict=True):
        np.testing.assert_array_equal(labels, graph.annotation)
    left, right = next(rotated_labels(spheres, graphs, rotations(1, seed=4)))
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


def test_sphere_of_another_mesh(synthetic, tmp_path):
    graph = synthetic.save(tmp_path, synthetic.graph())
    write_surface(tmp_path / "graphs" / graph.name / "sphere.surf.gii", sphere_mesh(1, 100.0), "L", "sphere")
    with pytest.raises(GraphError, match=f"expected {graph.n_nodes}"):
        load_spheres(tmp_path, [graph])
