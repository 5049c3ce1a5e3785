"""Section-to-section misalignment: remove the jitter between neighbours, keep the brain's own course.

Each section may be off by a small rigid move within its plane, which shows as stair-steps. What can be measured is how
a section's rings lie against those of its neighbours; that holds the jitter and the brain's real change of shape. The
two differ in how they run along the stack: jitter is independent from section to section, anatomy goes on. So

1. rigid moves between neighbours (up to two apart) come from their rings: point-to-line ICP (Chen and Medioni, Image
   and Vision Computing 10, 1992) with symmetric matches, normals in the match and Cauchy weights; a growth of each
   boundary is solved for beside the move, so that a change of size is not taken for a move;
2. the accumulated path of the sections follows from all moves by least squares, each weighted by its information
   matrix (Lu and Milios, Autonomous Robots 4, 1997) over the squared distance of the planes;
3. the path is anatomy, an integrated random walk about a parabola, plus white jitter: a Whittaker smoother with second
   differences over the true plane positions (Eilers, Analytical Chemistry 75, 2003). Its one parameter, the ratio of
   the two variances, is that of the highest restricted likelihood (Patterson and Thompson, Biometrika 58, 1971), for
   shifts and for turns; each section is moved back by the best linear prediction of its jitter.

The corrections have no mean, linear or quadratic trend, so that the stack as a whole neither moves, shears nor loses
its bend: the low frequencies that Gaffling et al. (IEEE TMI 34, 2015) protect in the same problem. Where the path is
smooth by itself, the likelihood finds no jitter and sections stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import shapely
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree
from shapely.geometry.polygon import orient

from cytomesh.surface.config import AlignmentConfig
from cytomesh.surface.frame import stack_axes

N_NEIGHBOURS = 2
N_MATCHES = 8  # rounds of matching and moving
SETTLED_MM = 1e-3
NORMAL_MM = 2.0  # opposite normals count as this many mm apart when points are matched
MIN_POINTS = 12
# Prior standard deviations of a move: they only matter where rings say nothing (a circle's rotation).
PRIOR_MM, PRIOR_RAD = 5.0, np.radians(2.0)
LOG_RATIOS = (-12.0, 12.0)  # logarithm of jitter variance over walk variance, from no jitter to nothing else
NOISE_MM = 0.3  # how far rings of neighbours differ by themselves


@dataclass(frozen=True, slots=True)
class Alignment:
    """Corrections of n sections, each a rigid move within the section's own plane.

    Parameters
    ----------
    to_world : (n, 3, 3) float64
        Corrected pixel-to-world matrices.
    shift_mm : (n, 2) float64
        Displacement of the stack's axis in the section, along the two in-plane axes of the stack.
    rotation_deg : (n,) float64
        Turn about the stack's axis.
    is_measured : (n,) bool
        Whether the section has rings that its neighbours can be compared with; others stay where they are.
    """

    to_world: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    rotation_deg: NDArray[np.float64]
    is_measured: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Rings:
    """Sampled rings of one section in the stack's in-plane axes, about the stack's axis."""

    points: NDArray[np.float64]  # (m, 2) mm
    normals: NDArray[np.float64]  # (m, 2) outward
    boundary: NDArray[np.int64]  # (m,) which boundary a point lies on

    def moved(self, move: NDArray[np.float64]) -> _Rings:
        turn = _rotation(move[2])
        return _Rings(self.points @ turn.T + move[:2], self.normals @ turn.T, self.boundary)


def align_sections(
    to_world: NDArray[np.float64], rings: Sequence[Mapping[str, shapely.MultiPolygon]], settings: AlignmentConfig
) -> Alignment:
    """Find the corrections that remove the jitter between neighbouring sections.

    Parameters
    ----------
    to_world : (n, 3, 3) float64
        Pixel-to-world matrix of each section, mm; any order.
    rings : sequence of n mappings
        Regions by boundary name ("pial_L", "white_L", ...), pixels; like-named boundaries are compared. May be empty.
    settings : AlignmentConfig
        Density of the points that are compared.
    """
    n = len(to_world)
    axes = stack_axes(to_world)
    heights = to_world[:, :, 2] @ axes[:, 2]
    names = sorted({name for regions in rings for name in regions})
    sampled = [_sample(to_world[k], rings[k], names, axes, settings.step_mm) for k in range(n)]
    has_rings = np.array([len(item.points) >= MIN_POINTS for item in sampled])
    order = np.flatnonzero(has_rings)[np.argsort(heights[has_rings], kind="stable")]
    moves = np.zeros((n, 3))
    centre = np.zeros(2)
    if len(order) >= 4:
        centre = np.concatenate([sampled[k].points for k in order]).mean(axis=0)
        centred = [_Rings(sampled[k].points - centre, sampled[k].normals, sampled[k].boundary) for k in order]
        moves[order] = _corrections(centred, heights[order], len(names))
    corrected = np.stack([_move_plane(to_world[k], moves[k], axes, centre) for k in range(n)])
    is_measured = np.zeros(n, bool)
    is_measured[order] = len(order) >= 4
    return Alignment(corrected, moves[:, :2], np.degrees(moves[:, 2]), is_measured)


def _corrections(sections: Sequence[_Rings], heights: NDArray[np.float64], n_boundaries: int) -> NDArray[np.float64]:
    """Return the (n, 3) moves (mm, mm, rad) of sections in stacking order."""
    n = len(sections)
    trees = [_tree(rings) for rings in sections]
    pairs, steps, weights = [], [], []
    for gap in range(1, N_NEIGHBOURS + 1):
        for k in range(n - gap):
            step, information = _register(sections[k], sections[k + gap], trees[k], trees[k + gap], n_boundaries)
            pairs.append((k, k + gap))
            steps.append(step)
            weights.append(information / (heights[k + gap] - heights[k]) ** 2)
    # moves are added as if they were infinitely small: jitter of 0.5 mm and 1 degree is off by less than 0.01 mm
    path = _accumulate(n, pairs, np.array(steps), np.array(weights))
    shifts, turns = jitter(path[:, :2], heights), jitter(path[:, 2:], heights)
    return -np.hstack([shifts, turns])


def _register(
    first: _Rings, second: _Rings, first_tree: cKDTree, second_tree: cKDTree, n_boundaries: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the move (3,) that lays the first section's rings on the second's, and its information matrix (3, 3)."""
    move = np.zeros(3)
    ridge = np.array([PRIOR_MM**-2, PRIOR_MM**-2, PRIOR_RAD**-2, *[PRIOR_MM**-2] * n_boundaries])
    ridge *= NOISE_MM**2
    fit = np.zeros(len(ridge))
    information = np.diag(ridge[:3]) / NOISE_MM**2
    for _ in range(N_MATCHES):
        moved = first.moved(move)
        back = second.moved(_inverse(move))
        there = _matches(moved, second, second_tree)
        here = _matches(back, first, first_tree)
        # both kinds of match in the second section's place: source point, target point, target normal, boundary
        source = np.concatenate([moved.points[there[0]], moved.points[here[1]]])
        target = np.concatenate([second.points[there[1]], second.points[here[0]]])
        normals = np.concatenate([second.normals[there[1]], second.normals[here[0]]])
        boundary = np.concatenate([second.boundary[there[1]], second.boundary[here[0]]])
        if len(source) < MIN_POINTS:
            return np.zeros(3), np.diag(ridge[:3]) / NOISE_MM**2
        residual = (normals * (target - source)).sum(axis=1)
        design = _design(source, normals, boundary, n_boundaries)
        weights = _robust_weights(residual - design @ fit)
        normal_matrix = design.T @ (weights[:, None] * design) + np.diag(ridge)
        noise = NOISE_MM**2 + float(np.average((residual - design @ fit) ** 2, weights=weights))
        fit = np.linalg.solve(normal_matrix, design.T @ (weights * residual))
        # what is known of the move when growth is not known (Schur complement)
        inner = np.linalg.solve(normal_matrix[3:, 3:], normal_matrix[3:, :3])
        information = (normal_matrix[:3, :3] - normal_matrix[:3, 3:] @ inner) / noise
        step, fit[:3] = fit[:3].copy(), 0.0
        move = _compose(step, move)
        if np.abs(step).max() < SETTLED_MM:
            break
    return move, information


def _matches(source: _Rings, target: _Rings, tree: cKDTree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair source points with the nearest target points of the same boundary and similar normal."""
    _, nearest = tree.query(_embedded(source))
    agree = (source.boundary == target.boundary[nearest]) & (
        (source.normals * target.normals[nearest]).sum(axis=1) > 0.5
    )
    return np.flatnonzero(agree), nearest[agree]


def _tree(rings: _Rings) -> cKDTree:
    return cKDTree(_embedded(rings), balanced_tree=False)


def _embedded(rings: _Rings) -> NDArray[np.float64]:
    apart = 1e4 * rings.boundary[:, None]
    return np.hstack([rings.points, 0.5 * NORMAL_MM * rings.normals, apart])


def _design(
    points: NDArray[np.float64], normals: NDArray[np.float64], boundary: NDArray[np.int64], n_boundaries: int
) -> NDArray[np.float64]:
    """Return how far points move along their normals: by shift, by turn, and by the growth of each boundary."""
    (x, y), (u, v) = points.T, normals.T
    rigid = (u, v, v * x - u * y)
    growth = (boundary[:, None] == np.arange(n_boundaries)).astype(np.float64)
    return np.column_stack([*rigid, growth])


def _robust_weights(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a Cauchy error about the residuals' own spread."""
    spread = max(1.4826 * float(np.median(np.abs(residual))), NOISE_MM / 3.0)
    return np.asarray(1.0 / (1.0 + (residual / (2.0 * spread)) ** 2))


def _accumulate(
    n: int, pairs: Sequence[tuple[int, int]], steps: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the path (n, 3) with path[b] - path[a] nearest to the step of each pair; it begins at zero."""
    first, second = np.array(pairs).T
    rows = np.arange(len(pairs))
    ones = np.ones(len(pairs))
    difference = sp.csr_matrix((np.concatenate([ones, -ones]), (np.tile(rows, 2), np.concatenate([second, first]))))
    difference = sp.kron(difference, sp.identity(3), format="csr")[:, 3:]
    blocks = sp.block_diag(list(weights), format="csr")
    path = spsolve((difference.T @ blocks @ difference).tocsc(), difference.T @ blocks @ steps.ravel())
    return np.concatenate([np.zeros((1, 3)), path.reshape(n - 1, 3)])


def jitter(path: NDArray[np.float64], heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the white part of a path, (n, k), whose rest is an integrated random walk about a parabola.

    With A the slope differences over the square root of the mean gap (white for the walk) and C the contrasts that a
    parabola leaves at zero, z = C A path has covariance walk^2 C C' + jitter^2 (C A)(C A)'. The restricted likelihood
    of z gives the ratio of the variances; the prediction is jitter^2 (C A)' Cov(z)^-1 z.

    Parameters
    ----------
    path : (n, k) float64
        k components that share their variances; at least 4 sections.
    heights : (n,) float64
        Rising plane positions, mm.
    """
    gaps = np.diff(heights) / np.median(np.diff(heights))
    mean_gaps = 0.5 * (gaps[1:] + gaps[:-1])
    slopes = sp.diags(1.0 / gaps) @ _differences(len(heights))
    to_walk = sp.diags(mean_gaps**-0.5) @ _differences(len(gaps)) @ slopes
    contrasts = _differences(len(mean_gaps)) @ sp.diags(mean_gaps**-0.5)
    both = (contrasts @ to_walk).tocsr()
    z = both @ path
    if np.abs(z).max() < 1e-12:
        return np.zeros_like(path)
    parts = _banded(contrasts @ contrasts.T), _banded(both @ both.T)

    def cost(log_ratio: float) -> float:
        factor = cholesky_banded(parts[0] + np.exp(log_ratio) * parts[1], lower=True)
        variance = float((z * cho_solve_banded((factor, True), z)).mean())
        return z.size * np.log(variance) + 2.0 * z.shape[1] * float(np.log(factor[0]).sum())

    ratios = np.linspace(*LOG_RATIOS, 49)
    best = int(np.argmin([cost(ratio) for ratio in ratios]))
    around = ratios[max(best - 1, 0)], ratios[min(best + 1, len(ratios) - 1)]
    ratio = np.exp(minimize_scalar(cost, bounds=around, method="bounded").x)
    factor = cholesky_banded(parts[0] + ratio * parts[1], lower=True)
    return np.asarray(ratio * (both.T @ cho_solve_banded((factor, True), z)))


def _differences(n: int) -> sp.csr_matrix:
    return sp.diags([-np.ones(n - 1), np.ones(n - 1)], [0, 1], shape=(n - 1, n), format="csr")


def _banded(matrix: sp.csr_matrix) -> NDArray[np.float64]:
    """Return the lower bands of a symmetric matrix of bandwidth 3, as SciPy's banded solvers take it."""
    bands = np.zeros((4, matrix.shape[0]))
    for offset in range(min(4, matrix.shape[0])):
        bands[offset, : matrix.shape[0] - offset] = matrix.diagonal(-offset)
    return bands


def _plane_axes(matrix: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two orthonormal directions within a plane, (3, 2), as near as can be to the stack's."""
    normal = np.cross(matrix[:, 0], matrix[:, 1])
    normal /= np.linalg.norm(normal)
    normal *= 1.0 if normal @ axes[:, 2] >= 0.0 else -1.0
    first = axes[:, 0] - (axes[:, 0] @ normal) * normal
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(normal, first)])


def _sample(
    matrix: NDArray[np.float64],
    regions: Mapping[str, shapely.MultiPolygon],
    names: Sequence[str],
    axes: NDArray[np.float64],
    step_mm: float,
) -> _Rings:
    """Return points every `step_mm` along the rings of a section, with outward normals."""
    frame = _plane_axes(matrix, axes)
    points, normals, boundary = [np.empty((0, 2))], [np.empty((0, 2))], [np.empty(0, np.int64)]
    for number, name in enumerate(names):
        for part in getattr(regions.get(name), "geoms", ()):
            flat = shapely.transform(part, lambda pixels: (pixels @ matrix[:, :2].T + matrix[:, 2]) @ frame)
            turned = orient(flat)
            for ring in (turned.exterior, *turned.interiors):
                n = int(ring.length / step_mm)
                if n < 3:
                    continue
                along = (np.arange(n + 1) + 0.5) * (ring.length / n)
                ends = shapely.get_coordinates(shapely.line_interpolate_point(ring, along - 0.5 * ring.length / n))
                chord = np.diff(ends, axis=0)
                length = np.linalg.norm(chord, axis=1)
                good = length > 1e-9
                points.append(0.5 * (ends[1:] + ends[:-1])[good])
                normals.append((chord[:, ::-1] * (1.0, -1.0) / np.maximum(length, 1e-9)[:, None])[good])
                boundary.append(np.full(int(good.sum()), number))
    return _Rings(np.concatenate(points), np.concatenate(normals), np.concatenate(boundary))


def _move_plane(
    matrix: NDArray[np.float64], move: NDArray[np.float64], axes: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the pixel-to-world matrix after a move within the plane."""
    frame = _plane_axes(matrix, axes)
    flat = frame.T @ matrix
    turn = _rotation(move[2])
    moved = np.column_stack([turn @ flat[:, :2], turn @ (flat[:, 2] - centre) + centre + move[:2]])
    return np.asarray(matrix + frame @ (moved - flat))


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _compose(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([*(_rotation(second[2]) @ first[:2] + second[:2]), first[2] + second[2]])


def _inverse(move: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([*(-_rotation(-move[2]) @ move[:2]), -move[2]])
