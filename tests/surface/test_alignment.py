import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.surface.alignment import align_sections, jitter
from cytomesh.surface.config import AlignmentConfig

UM_PER_PX = 50.0
SETTINGS = AlignmentConfig(enabled=True)
HEIGHTS = np.arange(-17.5, 18.0)


def coronal(y_mm):
    step = UM_PER_PX / 1000
    return np.array([[step, 0.0, -40.0], [0.0, 0.0, y_mm], [0.0, -step, 25.0]])


def ellipse(centre, axes, n=240):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    world = np.array(centre) + np.stack([axes[0] * np.cos(angle), axes[1] * np.sin(angle)], axis=1)
    step = UM_PER_PX / 1000
    return MultiPolygon([Polygon(np.stack([(world[:, 0] + 40.0) / step, (25.0 - world[:, 1]) / step], axis=1))])


def sphere(y):
    return (0.0, 0.0), np.full(2, np.sqrt(18.0**2 - y**2))


def ellipsoid(y):
    return (0.0, 0.0), np.array([20.0, 12.0]) * np.sqrt(1 - (y / 18.0) ** 2)


def bent_tube(y):
    return (np.sqrt(30.0**2 - y**2) - 30.0, 0.0), np.array([6.0, 5.0])


def stack(shape, heights=HEIGHTS):
    to_world = np.stack([coronal(y) for y in heights])
    rings = []
    for y in heights:
        centre, axes = shape(y)
        rings.append({"pial_L": ellipse(centre, axes), "white_L": ellipse(centre, 0.7 * axes)})
    return to_world, rings


def shaken(to_world, shift_mm, turn_deg, seed=0):
    """Planes moved in x and z and turned about y, and not moved on average."""
    rng = np.random.default_rng(seed)
    moves = rng.uniform(-1, 1, (len(to_world), 3)) * (shift_mm, shift_mm, np.radians(turn_deg))
    moves -= moves.mean(axis=0)
    result = to_world.copy()
    for matrix, (x, z, angle) in zip(result, moves, strict=True):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        matrix[:] = turn @ matrix
        matrix[:, 2] += (x, 0, z)
    return result


def rms_mm(after, before, rings):
    """How far the rings are from where they belong: root mean square over all their points."""
    squares = []
    for a, b, regions in zip(after, before, rings, strict=True):
        pixels = shapely.get_coordinates(regions["pial_L"])
        squares.append((((pixels @ (a - b)[:, :2].T) + (a - b)[:, 2]) ** 2).sum(axis=1).mean())
    return np.sqrt(np.mean(squares))


@pytest.mark.parametrize(("shape", "turn_deg"), [(sphere, 0.0), (ellipsoid, 0.6), (bent_tube, 0.6)])
@pytest.mark.parametrize("seed", [0, 1])
def test_jitter_is_removed(shape, turn_deg, seed):
    true, rings = stack(shape)
    moved = shaken(true, 0.3, turn_deg, seed)
    corrected = align_sections(moved, rings, SETTINGS).to_world
    assert rms_mm(corrected, true, rings) < 0.4 * rms_mm(moved, true, rings)


@pytest.mark.parametrize("shape", [sphere, ellipsoid, bent_tube])
def test_what_is_smooth_stays_as_it_is(shape):
    true, rings = stack(shape)
    alignment = align_sections(true, rings, SETTINGS)
    assert np.abs(alignment.shift_mm).max() < 0.05
    assert rms_mm(alignment.to_world, true, rings) < 0.02


def test_missing_sections_and_unequal_spacing():
    heights = np.delete(HEIGHTS, [4, 11, 12, 13, 27])
    true, rings = stack(bent_tube, heights)
    moved = shaken(true, 0.3, 0.0)
    assert rms_mm(align_sections(moved, rings, SETTINGS).to_world, true, rings) < 0.5 * rms_mm(moved, true, rings)


def test_the_order_of_sections_does_not_matter():
    true, rings = stack(ellipsoid)
    moved = shaken(true, 0.3, 0.6)
    order = np.random.default_rng(2).permutation(len(true))
    straight = align_sections(moved, rings, SETTINGS)
    mixed = align_sections(moved[order], [rings[k] for k in order], SETTINGS)
    assert mixed.to_world == pytest.approx(straight.to_world[order], abs=1e-3)


def test_corrections_stay_within_the_section_plane_and_sections_without_rings_stay_put():
    true, rings = stack(ellipsoid)
    tilt = np.radians(4.0)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    tilted = shaken(true, 0.3, 0.6).copy()
    tilted[::3, :, :2] = turn @ tilted[::3, :, :2]
    rings[7] = {}
    alignment = align_sections(tilted, rings, SETTINGS)
    assert not alignment.is_measured[7] and alignment.is_measured.sum() == len(true) - 1
    assert (alignment.to_world[7] == tilted[7]).all()
    for before, after in zip(tilted, alignment.to_world, strict=True):
        normal = np.cross(before[:, 0], before[:, 1])
        assert np.abs(normal @ (after - before)).max() < 1e-9 * np.linalg.norm(normal) * 100
        assert np.linalg.norm(after[:, :2], axis=0) == pytest.approx(np.linalg.norm(before[:, :2], axis=0))


def test_too_few_sections_are_left_alone():
    true, rings = stack(ellipsoid, HEIGHTS[:3])
    alignment = align_sections(true, rings, SETTINGS)
    assert (alignment.to_world == true).all() and not alignment.is_measured.any()


def jitter_by_dense_matrices(path, heights):
    """The same model with dense matrices over a fine grid of ratios. Slow on purpose."""
    gaps = np.diff(heights) / np.median(np.diff(heights))
    slopes = np.diff(np.eye(len(heights)), axis=0) / gaps[:, None]
    mean_gaps = (gaps[1:] + gaps[:-1]) / 2
    walk = np.diff(slopes, axis=0) / np.sqrt(mean_gaps)[:, None]
    contrast = np.diff(np.diag(mean_gaps**-0.5), axis=0)
    both = contrast @ walk
    z = both @ path
    best, found = np.inf, None
    for ratio in np.exp(np.linspace(-12, 12, 2401)):
        covariance = contrast @ contrast.T + ratio * both @ both.T
        inverse = np.linalg.inv(covariance)
        variance = np.mean(z * (inverse @ z))
        cost = z.size * np.log(variance) + z.shape[1] * np.linalg.slogdet(covariance)[1]
        if cost < best:
            best, found = cost, ratio * both.T @ inverse @ z
    return found


def test_the_split_equals_dense_matrices_and_leaves_parabolas():
    rng = np.random.default_rng(5)
    heights = np.cumsum(rng.uniform(0.5, 1.5, 30))
    smooth = np.cumsum(np.cumsum(rng.normal(0, 0.02, (30, 2)), axis=0), axis=0)
    path = smooth + rng.uniform(-0.3, 0.3, (30, 2))
    found = jitter(path, heights)
    assert found == pytest.approx(jitter_by_dense_matrices(path, heights), abs=2e-3)
    powers = np.stack([np.ones(30), heights, heights**2])
    assert np.abs(powers @ found).max() < 1e-6
    assert np.abs(jitter(powers.T, heights)).max() < 1e-6
