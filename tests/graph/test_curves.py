import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cytomesh.graph.curves import CurveIndex, PlaneCutter, stacking_axis
from cytomesh.study.planes import SectionPlane


def test_a_plane_cuts_a_sphere_in_a_circle(shapes):
    mesh = shapes.sphere(5).midthickness
    curve = PlaneCutter(mesh, np.array([0.0, 1.0, 0.0])).cut(shapes.coronal(4.0))
    assert curve.length_mm == pytest.approx(2 * np.pi * np.sqrt(81 - 16), rel=2e-3)
    assert np.allclose(curve.points[..., 1], 4.0)
    assert np.allclose(np.linalg.norm(curve.points, axis=2), 9.0, atol=0.02)
    assert np.allclose(
        np.einsum("meb,mbx->mex", curve.weights, mesh.vertices[mesh.faces[curve.triangles]]), curve.points
    )


def test_a_closed_mesh_is_cut_in_closed_curves(shapes):
    curve = PlaneCutter(shapes.folded().midthickness, np.array([0.0, 1.0, 0.0])).cut(shapes.coronal(1.234))
    ends = np.round(curve.points.reshape(-1, 3), 9)
    _, counts = np.unique(ends, axis=0, return_counts=True)
    assert (counts == 2).all()


def test_a_plane_beside_the_mesh_gives_no_segment(shapes):
    assert (
        PlaneCutter(shapes.sphere(2).midthickness, np.array([0.0, 1.0, 0.0])).cut(shapes.coronal(30.0)).n_segments == 0
    )


@settings(max_examples=25, deadline=None)
@given(turn=st.tuples(*[st.floats(-np.pi, np.pi)] * 3), offset=st.floats(-8.0, 8.0))
def test_looking_only_at_near_faces_misses_none(shapes, turn, offset):
    mesh = shapes.sphere(3).midthickness
    axes = Rotation.from_rotvec(turn).as_matrix()
    plane = SectionPlane(np.stack([axes[:, 0], axes[:, 1], offset * axes[:, 2]], axis=1))
    curve = PlaneCutter(mesh, np.array([0.0, 1.0, 0.0])).cut(plane)
    is_above = (plane.distance(mesh.vertices) >= 0)[mesh.faces]
    assert set(curve.triangles) == set(np.flatnonzero(is_above.any(axis=1) & ~is_above.all(axis=1)))


def nearest_by_loops(curve, point):
    """Every segment, one after the other. Slow on purpose."""
    best = np.inf
    for a, b in curve.points @ curve.frame.T:
        flat, d = curve.frame @ point, b - a
        along = np.clip((flat - a) @ d / max(d @ d, 1e-24), 0.0, 1.0)
        best = min(best, np.linalg.norm(a + along * d - flat))
    return best


def test_nearest_points_are_exact(shapes):
    curve = PlaneCutter(shapes.folded().midthickness, np.array([0.0, 1.0, 0.0])).cut(shapes.coronal(3.3))
    points = np.random.default_rng(0).uniform(-22, 22, (60, 3))
    distance, segment, share = CurveIndex(curve).nearest(points)
    assert distance == pytest.approx([nearest_by_loops(curve, point) for point in points], abs=1e-9)
    at = curve.points[segment, 0] + share[:, None] * (curve.points[segment, 1] - curve.points[segment, 0])
    assert np.linalg.norm((at - points) @ curve.frame.T, axis=1) == pytest.approx(distance, abs=1e-9)


def test_the_stacking_axis_is_the_mean_normal_whichever_way_images_are_flipped(shapes):
    flipped = shapes.tilted(1.0, -4.0)
    flipped = SectionPlane(flipped.to_world * np.array([-1.0, 1.0, 1.0]))
    assert stacking_axis([shapes.tilted(0.0, 4.0), flipped]) == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
