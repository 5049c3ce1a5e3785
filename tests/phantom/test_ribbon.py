import numpy as np

from cytomesh.core.tables import read_table
from cytomesh.phantom.section import truth_path
from cytomesh.study.study import open_study
from cytomesh.surface.gifti import read_surface


def distance_to_triangle(p, a, b, c):
    """Ericson, Real-Time Collision Detection, 5.1.5, as a search over the three edges and the plane."""
    normal = np.cross(b - a, c - a)
    foot = p - normal * ((p - a) @ normal) / (normal @ normal)
    sides = [np.cross(v - u, foot - u) @ normal for u, v in ((a, b), (b, c), (c, a))]
    if min(sides) >= 0:
        return np.linalg.norm(p - foot)
    best = np.inf
    for u, v in ((a, b), (b, c), (c, a)):
        t = np.clip((p - u) @ (v - u) / ((v - u) @ (v - u)), 0, 1)
        best = min(best, np.linalg.norm(p - u - t * (v - u)))
    return best


def distance(p, mesh):
    corners = mesh.vertices[mesh.faces]
    near = np.linalg.norm(corners.mean(axis=1) - p, axis=1).argsort()[:60]
    return min(distance_to_triangle(p, *corners[face]) for face in near)


def test_depth_and_area_against_all_triangles(small):
    brain = open_study(small / "study.yaml").brains[0]
    section = next(s for s in brain.sections[3:] if s.image)
    folder = small / "truth" / "sub-S01"
    pial, white = (read_surface(folder / f"hemi-L_{kind}.surf.gii") for kind in ("pial", "white"))
    areas = read_table(folder / "hemi-L_nodes.parquet")["area"]
    middle = 0.5 * (pial.vertices + white.vertices)
    truth = np.load(truth_path(small, "S01", f"{section.index:04d}"), allow_pickle=False)
    rows, columns = np.nonzero(np.isfinite(truth["depth"]))
    picked = np.random.default_rng(0).choice(len(rows), 80, replace=False)
    errors, agreed = [], []
    for row, column in zip(rows[picked], columns[picked], strict=True):
        p = truth["to_world"] @ (column, row, 1)
        to_pial, to_white = distance(p, pial), distance(p, white)
        errors.append(float(truth["depth"][row, column]) - to_pial / (to_pial + to_white))
        agreed.append(truth["area"][row, column] == areas[np.linalg.norm(middle - p, axis=1).argmin()])
    assert np.abs(errors).mean() < 0.03
    assert np.percentile(np.abs(errors), 95) < 0.10
    assert np.mean(agreed) > 0.95
