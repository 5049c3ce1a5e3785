"""For any body: cut, reconstruct and cut again gives the same contours; rigid moves and maps go both ways."""

from collections.abc import Sequence

import numpy as np
import pytest
import shapely
import trimesh
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cytomesh.phantom.slicing import cut, polygons
from cytomesh.study.planes import SectionPlane
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import contour_distances, point_to_surface, self_intersections
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import Grid, PlaneContours

SETTINGS = SurfaceConfig(voxel_mm=0.5, edge_length_mm=0.8)
STEP = 0.1
FEW = settings(max_examples=4, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])
SPHERE = trimesh.creation.icosphere(subdivisions=5)

seeds = st.integers(0, 2**32 - 1)
angles = st.tuples(*[st.floats(-180, 180)] * 3)
shifts = st.tuples(*[st.floats(-60, 60)] * 3)


def body(radius: float, bumps: Sequence[np.ndarray] = ()) -> Mesh:
    """A star-shaped body about the origin: no holes, no handles. Bumps: direction and steepness (3), phase, height."""
    directions = np.asarray(SPHERE.vertices)
    radii = np.ones(len(directions))
    for bump in bumps:
        radii += bump[4] * np.cos(directions @ bump[:3] + bump[3])
    return Mesh(directions * radius * radii[:, None], np.asarray(SPHERE.faces))


def bumps(rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([rng.normal(0, 2, (4, 3)), rng.uniform(0, 2 * np.pi, 4), rng.uniform(-0.05, 0.05, 4)])


def planes(pial: Mesh, gaps: np.ndarray, frame: np.ndarray) -> np.ndarray:
    along = pial.vertices @ frame[:, 2]
    places = along.min() + np.cumsum(gaps)
    places = places[places < along.max()]
    corner = -20 * (frame[:, 0] + frame[:, 1])
    return np.stack([np.column_stack([STEP * frame[:, :2], corner + frame[:, 2] * at]) for at in places])


def section(mesh: Mesh, to_world: np.ndarray) -> shapely.MultiPolygon:
    plane = SectionPlane(to_world)
    rings = cut(mesh.vertices, mesh.faces, plane.distance(mesh.vertices))
    return polygons([plane.pixels(ring) for ring in rings], min_area=0.0)


def sections(pial: Mesh, white: Mesh, matrices: np.ndarray) -> list[PlaneContours]:
    return [PlaneContours(m, section(pial, m), section(white, m)) for m in matrices]


def mean_gap_mm(first: shapely.MultiPolygon, second: shapely.MultiPolygon) -> float:
    """Area between two outlines over their length."""
    return STEP * first.symmetric_difference(second).area / max(first.length, 1.0)


def check_same_contours(pial: Mesh, white: Mesh, matrices: np.ndarray, tolerance_mm: float) -> None:
    before = sections(pial, white, matrices)
    built = reconstruct(before, SETTINGS)
    for name in ("pial", "white"):
        mesh = getattr(built, name)
        assert mesh.euler_number == 2
        assert len(self_intersections(mesh)) == 0
    after = sections(built.pial, built.white, matrices)
    gaps = []
    for old, new in zip(before, after, strict=True):
        assert new.white.difference(new.pial).area == 0
        for name in ("pial", "white"):
            one, other = getattr(old, name), getattr(new, name)
            # a part that the plane barely touches may be there or not
            if one.area * STEP**2 > 4.0:
                assert len(one.geoms) == len(other.geoms)
                gaps.append(mean_gap_mm(one, other))
    assert np.median(gaps) < tolerance_mm
    # Where surface and plane are nearly parallel, contours move by many times what the surface does: in space, then.
    # Beyond the outermost section the body has to be guessed.
    for name, truth in (("pial", pial), ("white", white)):
        there = contour_distances(getattr(built, name), before, name)
        back = contour_distances(truth, after, name)
        assert max(np.nanmax(there[:, 0]), np.nanmax(back[:, 0])) < SETTINGS.voxel_mm


@FEW
@given(radius=st.floats(6, 9), first=st.floats(0.2, 1.0), spacing=st.floats(0.6, 1.2))
def test_spheres_come_back(radius, first, spacing):
    gaps = np.full(60, spacing)
    gaps[0] = first
    pial = body(radius)
    check_same_contours(pial, body(radius - 2.5), planes(pial, gaps, np.eye(3)), 0.03)


@FEW
@given(seed=seeds, turn=angles)
def test_blobs_come_back_whatever_the_spacing_and_the_direction(seed, turn):
    rng = np.random.default_rng(seed)
    shape = bumps(rng)
    pial, white = body(8.0, shape), body(5.5, shape)
    frame = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    check_same_contours(pial, white, planes(pial, rng.uniform(0.5, 1.3, 60), frame), 0.03)


@FEW
@given(seed=seeds, thickness=st.floats(0.8, 4.0))
def test_shells_stay_nested_and_keep_their_thickness(seed, thickness):
    pial = body(8.0)
    # the inner body has bumps of its own, within the outer one
    white = body(8.0 - thickness - 0.4, bumps(np.random.default_rng(seed)) * [1, 1, 1, 1, 0.3])
    check_same_contours(pial, white, planes(pial, np.full(60, 0.8), np.eye(3)), 0.03)


@FEW
@given(seed=seeds, turn=angles, shift=shifts)
def test_a_rigid_move_of_all_planes_moves_the_surfaces(seed, turn, shift):
    rng = np.random.default_rng(seed)
    shape = bumps(rng)
    pial = body(7.0, shape)
    here = sections(pial, body(4.5, shape), planes(pial, np.full(60, 1.0), np.eye(3)))
    rotation = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    moved = []
    for plane in here:
        to_world = rotation @ plane.to_world
        to_world[:, 2] += shift
        moved.append(PlaneContours(to_world, plane.pial, plane.white))
    plain, away = reconstruct(here, SETTINGS), reconstruct(moved, SETTINGS)
    for name in ("pial", "white"):
        back = (getattr(away, name).vertices - shift) @ rotation
        assert point_to_surface(back, getattr(plain, name)).max() < 0.1


@given(seed=seeds, turn=angles, shift=shifts)
@settings(FEW, max_examples=30)
def test_pixels_and_voxels_to_world_and_back(seed, turn, shift):
    rng = np.random.default_rng(seed)
    frame = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    plane = SectionPlane(np.column_stack([frame[:, :2] * rng.uniform(0.001, 0.5, 2), shift]))
    pixels = rng.uniform(-1e4, 1e4, (20, 2))
    world = plane.world(pixels)
    assert plane.pixels(world) == pytest.approx(pixels, abs=1e-6)
    assert plane.distance(world) == pytest.approx(np.zeros(20), abs=1e-8)
    grid = Grid(frame, np.array(shift), float(rng.uniform(0.05, 2.0)), (9, 9, 9))
    assert grid.world(grid.indices(world)) == pytest.approx(world, abs=1e-8)
