import time

import numpy as np
import pytest

from cytomesh.graph.links import LinkSection, Ribbon, link_positions
from cytomesh.graph.nearest import nearest_planes
from cytomesh.surface.mesh import Mesh

Y = np.array([0.0, 1.0, 0.0])
IMAGE = (1001, 1001)


def test_nearest_planes_equal_sorting_all_of_them(shapes):
    rng = np.random.default_rng(3)
    planes = [shapes.tilted(y, tilt) for y, tilt in zip(rng.uniform(-20, 20, 40), rng.uniform(-3, 3, 40), strict=True)]
    positions = rng.uniform(-20, 20, (50, 3))
    nearest, distances = nearest_planes(planes, Y, positions)
    everything = np.abs(np.stack([plane.distance(positions) for plane in planes], axis=1))
    assert distances[:, :3] == pytest.approx(np.sort(everything, axis=1)[:, :3])
    assert (nearest[:, 0] == everything.argmin(axis=1)).all()


def sheet(x_mm, faces_up, lean):
    """A sheet at about x = x_mm that leans with y; its normal is +x or -x."""
    z, y = np.meshgrid(np.arange(-8.0, 8.5, 0.5), np.arange(-4.0, 4.5, 0.5), indexing="ij")
    vertices = np.stack([x_mm + lean * y, y, z], axis=-1).reshape(-1, 3)
    n = y.shape[1]
    corner = (np.arange(z.shape[0] - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + n, corner + 1], 1), np.stack([corner + 1, corner + n, corner + n + 1], 1)]
    )
    normal = np.cross(vertices[faces[0, 1]] - vertices[faces[0, 0]], vertices[faces[0, 2]] - vertices[faces[0, 0]])
    return vertices, faces if (normal[0] > 0) == faces_up else faces[:, ::-1]


@pytest.fixture
def banks():
    """Two banks of a sulcus, 0.8 mm apart, that lean: a node off the plane is nearer to the cut of the other bank."""
    left, right = sheet(0.0, True, -0.8), sheet(0.8, False, -0.8)
    mid = Mesh(np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1] + len(left[0])]))
    is_left = np.arange(mid.n_vertices) < len(left[0])
    return Ribbon(mid, mid, mid), is_left


def test_links_stay_on_their_own_bank(shapes, banks):
    ribbon, is_left = banks
    nodes = ribbon.midthickness.vertices
    near = np.flatnonzero((np.abs(nodes[:, 1]) > 0.4) & (np.abs(nodes[:, 1]) < 0.9) & (np.abs(nodes[:, 2]) < 6))
    sections = [LinkSection(0, shapes.coronal(0.0), IMAGE)]
    normals = ribbon.midthickness.vertex_normals[near]
    free = link_positions(ribbon, sections, nodes[near], 1.0, 2.0)
    kept = link_positions(ribbon, sections, nodes[near], 1.0, 2.0, normals)
    assert free.is_linked.all() and kept.is_linked.all()
    own = np.where(is_left[near], 0.0, 0.8)
    assert (np.abs(free.points[:, 0] - own) > 0.7).any()
    assert kept.points[:, 0] == pytest.approx(own, abs=1e-9)
    assert kept.reach_mm == pytest.approx(np.linalg.norm(kept.points - nodes[near], axis=1))


def test_the_other_bank_is_taken_where_there_is_no_other(shapes, banks):
    ribbon, is_left = banks
    nodes = ribbon.midthickness.vertices
    # the right bank alone is left to link to
    faces = ribbon.midthickness.faces
    right = Mesh(nodes, faces[~is_left[faces[:, 0]]])
    near = np.flatnonzero(is_left & (np.abs(nodes[:, 1]) < 0.6) & (np.abs(nodes[:, 2]) < 6))
    normals = np.tile([1.0, 0.0, 0.0], (len(near), 1))
    links = link_positions(
        Ribbon(right, right, right), [LinkSection(0, shapes.coronal(0.0), IMAGE)], nodes[near], 1.0, 2.0, normals
    )
    assert links.is_linked.all() and links.points[:, 0] == pytest.approx(0.8, abs=1e-9)


def banks_by_loops(ribbon, plane, positions, normals, max_reach_mm):
    """The nearest point of the cut among faces within 60 degrees of each normal. Slow on purpose."""
    from cytomesh.graph.curves import PlaneCutter

    curve = PlaneCutter(ribbon.midthickness, Y).cut(plane)
    facing = ribbon.midthickness.face_normals[curve.triangles]
    result = []
    for position, normal in zip(positions, normals, strict=True):
        a, d = curve.points[:, 0], curve.points[:, 1] - curve.points[:, 0]
        along = np.clip(((position - a) * d).sum(1) / np.maximum((d * d).sum(1), 1e-24), 0, 1)
        reach = np.linalg.norm(a + along[:, None] * d - position, axis=1)
        own = np.where(facing @ normal >= 0.5, reach, np.inf).min()
        result.append(own if own <= max_reach_mm else reach.min())
    return np.array(result)


def test_own_banks_equal_the_search_over_everything(shapes):
    ribbon = shapes.folded(4)
    mesh = ribbon.midthickness
    plane = shapes.tilted(3.0, 5.0)
    near = np.flatnonzero(np.abs(plane.distance(mesh.vertices)) < 2.0)
    positions, normals = mesh.vertices[near], mesh.vertex_normals[near]
    links = link_positions(ribbon, [LinkSection(0, plane, IMAGE)], positions, 2.0, 4.0, normals)
    expected = banks_by_loops(ribbon, plane, positions, normals, 4.0)
    linked = links.is_linked
    assert linked.mean() > 0.9
    assert links.reach_mm[linked] == pytest.approx(expected[linked], abs=1e-9)


def test_looking_for_the_own_bank_costs_little(shapes):
    ribbon = shapes.folded(6)
    mesh = ribbon.midthickness
    sections = [LinkSection(i, shapes.coronal(float(y)), IMAGE) for i, y in enumerate(np.arange(-20, 20, 1.0))]
    normals = mesh.vertex_normals
    seconds = {}
    for _ in range(2):
        for name, given in (("free", None), ("own", normals)):
            start = time.process_time()
            link_positions(ribbon, sections, mesh.vertices, 0.6, 1.2, given)
            seconds[name] = min(seconds.get(name, np.inf), time.process_time() - start)
    assert seconds["own"] < 2.0 * seconds["free"] + 0.2
