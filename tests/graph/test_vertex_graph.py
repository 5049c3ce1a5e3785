import numpy as np
import pytest

from cytomesh.core.errors import GraphError
from cytomesh.core.labels import LabelTable
from cytomesh.graph.vertex_graph import mesh_graph
from tests.conftest import sphere_mesh


def test_the_graph_of_a_mesh():
    mesh = sphere_mesh(2)
    labels = np.where(mesh.vertices[:, 0] > 0, 4, 0)
    wall = mesh.vertices[:, 2] < -40
    graph = mesh_graph(mesh, labels=labels, table=LabelTable.from_names(["a", "b", "c", "d"]), is_cortex=~wall)
    assert graph.name == "brain_hemi-L"
    np.testing.assert_array_equal(graph.is_linked, ~wall)
    np.testing.assert_array_equal(graph.annotation, np.where(wall, 0, labels))
    assert graph.labels.name(4) == "d"
    assert not graph.has_image.any()
    assert mesh_graph(mesh, labels=labels).labels.names == ("area 4",)


def test_words_and_masks_that_are_none_are_refused():
    thickness = np.full(sphere_mesh(1).n_vertices, np.nan)
    for wrong, said in (({"is_cortex": thickness}, "float64, expected bool"), ({"role": "test"}, "'test'")):
        with pytest.raises(GraphError, match=said):
            mesh_graph(sphere_mesh(1), **wrong)


def test_arrays_of_another_length_are_refused():
    with pytest.raises(GraphError, match=r"labels.*shape \(5,\)"):
        mesh_graph(sphere_mesh(1), labels=np.ones(5, int))
