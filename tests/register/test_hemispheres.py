"""A graph's surface with the sphere that it has, or that is made for it."""

import numpy as np
import pytest
import torch

from cytomesh.core.errors import GraphError, SurfaceError
from cytomesh.graph.storage import load_graph, save_graph
from cytomesh.register.config import RegisterConfig
from cytomesh.register.distortion import is_flipped
from cytomesh.register.hemispheres import mirrored, open_hemisphere
from cytomesh.surface.gifti import write_surface
from cytomesh.surface.mesh import Mesh
from tests.register.bodies import ball, bumpy, degrees_between, warped
from tests.register.runs import brain, write_run

CPU = torch.device("cpu")
GIVEN, MADE = RegisterConfig(), RegisterConfig(spheres="made")


def opened(run, settings=GIVEN):
    return open_hemisphere(run, load_graph(run / "graphs" / "B01_hemi-L"), settings, CPU)


def test_a_given_sphere_is_taken_as_it_lies_around_the_origin(tmp_path):
    """Its vertices are dense on one side: their mean is not its middle."""
    given = Mesh(80.0 * warped(ball(3).vertices, 20.0), ball(3).faces)
    assert np.linalg.norm(given.vertices.mean(axis=0)) > 2.0
    found = opened(write_run(tmp_path, brain("B01"), sphere=given))
    assert degrees_between(found.sphere.vertices, given.vertices).max() < 1e-4
    np.testing.assert_allclose(np.linalg.norm(found.sphere.vertices, axis=1), 100.0)


def test_one_is_made_where_there_is_none_or_where_it_is_asked_for(tmp_path):
    run = write_run(tmp_path / "without", brain("B01"))
    made = opened(run)
    assert not is_flipped(made.sphere.vertices, made.surface.faces).any()
    again = opened(write_run(tmp_path / "with", brain("B01"), sphere=ball(3)), MADE)
    np.testing.assert_array_equal(made.sphere.vertices, again.sphere.vertices)


def test_given_spheres_with_flipped_triangles_are_refused(tmp_path):
    folded = ball(3).vertices.copy()
    folded[10] = -folded[10]
    run = write_run(tmp_path, brain("B01"), sphere=Mesh(100.0 * folded, ball(3).faces))
    with pytest.raises(SurfaceError, match=r"B01_hemi-L: sphere: found \d flipped triangles.*spheres: made"):
        opened(run)


def test_given_spheres_that_are_none_are_refused(tmp_path):
    run = write_run(tmp_path, brain("B01"), sphere=bumpy(3))
    with pytest.raises(GraphError, match="sphere around the origin"):
        opened(run)


def test_spheres_of_another_mesh_are_refused(tmp_path):
    run = write_run(tmp_path, brain("B01"), sphere=ball(3))
    write_surface(run / "graphs" / "B01_hemi-L" / "sphere.surf.gii", ball(2), "L", "sphere")
    with pytest.raises(GraphError, match="162 vertices.*642"):
        opened(run)


@pytest.mark.parametrize("sphere", [{}, {"sphere": ball(3)}], ids=["without a sphere", "with a sphere"])
def test_surfaces_with_holes_are_named(tmp_path, sphere):
    graph = brain("B01")
    holed = type(graph)("B01", "L", "train", Mesh(graph.mesh.vertices, graph.mesh.faces[1:]), graph.nodes, graph.labels)
    save_graph(tmp_path, holed, {"pial": holed.mesh, "white": holed.mesh, **sphere}, {})
    with pytest.raises(SurfaceError, match="B01_hemi-L: surface.*3 edges of one triangle only"):
        opened(tmp_path)


def test_mirrored_twice_is_the_same():
    body = bumpy(2)
    mirror = mirrored(body)
    np.testing.assert_array_equal(mirror.vertices, body.vertices * [-1.0, 1.0, 1.0])
    assert mirror.volume_mm3 == pytest.approx(body.volume_mm3)
    again = mirrored(mirror)
    np.testing.assert_array_equal(again.faces, body.faces)
    np.testing.assert_array_equal(again.vertices, body.vertices)
