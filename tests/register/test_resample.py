"""Weights between registered spheres, against the rule vertex by vertex and Connectome Workbench."""

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.transform import Rotation

from cytomesh.core.errors import SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.register.resample import label_shares, resample_labels, resample_numbers, resampling
from cytomesh.surface.gifti import write_labels, write_scalars, write_surface
from cytomesh.surface.mesh import Mesh
from tests.register.bodies import ball, bumps, warped
from tests.register.test_spherical import hit_by_loops, uneven

TURN = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()


def turned(subdivisions):
    """An icosphere whose vertices are nowhere on another's, and whose triangles differ in size."""
    sphere = ball(subdivisions)
    return Mesh(100.0 * warped(sphere.vertices @ TURN.T, 15.0), sphere.faces)


PAIRS = {
    "finer to coarser": (turned(2), ball(1)),
    "coarser to finer": (turned(1), ball(2)),
    "alike": (turned(2), ball(2)),
    "uneven": (uneven(), ball(2)),
}


def rule_by_loops(source, target, source_areas, target_areas):
    """The adaptive barycentric rule, a vertex at a time."""
    forward = [{} for _ in range(target.n_vertices)]
    for place, weights in zip(target.vertices, forward, strict=True):
        face, shares = hit_by_loops(source, place / np.linalg.norm(place))
        weights.update({v: s for v, s in zip(source.faces[face], shares, strict=True) if s > 1e-12})
    gathered = [{} for _ in range(target.n_vertices)]
    for vertex, place in enumerate(source.vertices):
        face, shares = hit_by_loops(target, place / np.linalg.norm(place))
        for corner, share in zip(target.faces[face], shares, strict=True):
            if share > 1e-12:
                gathered[corner][vertex] = share
    chosen = [there if set(there) - set(here) else here for here, there in zip(forward, gathered, strict=True)]
    dense = np.zeros((target.n_vertices, source.n_vertices))
    for row, weights in enumerate(chosen):
        for vertex, share in weights.items():
            dense[row, vertex] = share * target_areas[row]
    for vertex in range(source.n_vertices):
        if dense[:, vertex].sum() > 0:
            dense[:, vertex] *= source_areas[vertex] / dense[:, vertex].sum()
    return dense / dense.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("source", "target"), PAIRS.values(), ids=PAIRS)
def test_weights_are_those_of_the_rule(source, target):
    rng = np.random.default_rng(0)
    areas = [rng.uniform(0.5, 2.0, mesh.n_vertices) for mesh in (source, target)]
    found = resampling(source, target, *areas)
    np.testing.assert_allclose(found.toarray(), rule_by_loops(source, target, *areas), atol=1e-7)
    by_sphere = rule_by_loops(source, target, source.vertex_areas, target.vertex_areas)
    np.testing.assert_allclose(resampling(source, target).toarray(), by_sphere, atol=1e-7)


@pytest.mark.parametrize(("source", "target"), PAIRS.values(), ids=PAIRS)
def test_rows_sum_to_one_and_every_known_vertex_is_heard(source, target):
    is_known = source.vertices[:, 2] > -0.3 * np.abs(source.vertices).max()
    weights = resampling(source, target, is_known=is_known)
    sums = np.asarray(weights.sum(axis=1)).ravel()
    np.testing.assert_allclose(sums[sums > 0], 1.0)
    assert (sums == 0).any()
    heard = np.asarray((weights > 0).sum(axis=0)).ravel() > 0
    np.testing.assert_array_equal(heard, is_known)


def test_a_mesh_onto_itself_changes_nothing():
    sphere = turned(2)
    np.testing.assert_allclose(resampling(sphere, sphere).toarray(), np.eye(sphere.n_vertices), atol=1e-6)


def test_integrals_are_kept_where_the_target_is_coarser():
    """Before rows are made to sum to 1, each vertex gives its area: constants and smooth numbers keep their mean."""
    source, target = turned(3), ball(1)
    values = bumps(source.vertices / 100.0, sharpness=3.0)
    found = resample_numbers(resampling(source, target), values)
    assert target.vertex_areas @ found / target.area_mm2 == pytest.approx(
        source.vertex_areas @ values / source.area_mm2, abs=0.02 * values.std()
    )


def test_numbers_without_nan_count_by_their_weights():
    source, target = PAIRS["finer to coarser"]
    weights = resampling(source, target)
    values = np.random.default_rng(1).normal(size=(source.n_vertices, 2))
    values[::3, 0] = np.nan
    values[np.flatnonzero(weights[4].toarray()[0]), 1] = np.nan
    found = resample_numbers(weights, values)
    dense = weights.toarray()
    for row in range(target.n_vertices):
        for column in range(2):
            is_number = np.isfinite(values[:, column])
            total = dense[row, is_number].sum()
            expected = dense[row, is_number] @ values[is_number, column] / total if total > 0 else np.nan
            np.testing.assert_allclose(found[row, column], expected)
    assert np.isnan(found[4, 1])
    assert resample_numbers(weights, values[:, 0]).shape == (target.n_vertices,)


def test_labels_are_chosen_by_vote_without_label_0():
    weights = sp.csr_matrix(
        [
            [0.5, 0.5, 0.0, 0.0],  # a tie: the smaller
            [0.2, 0.2, 0.3, 0.3],  # 7 twice, against 0 twice and 3
            [0.0, 0.0, 0.9, 0.1],  # no vote for 0
            [0.0, 0.0, 1.0, 0.0],  # nothing but 0
            [0.0, 0.0, 0.0, 0.0],  # nothing
        ]
    )
    labels = np.array([7, 3, 0, 7], np.int32)
    np.testing.assert_array_equal(resample_labels(weights, labels), [3, 7, 7, 0, 0])
    found, shares = label_shares(weights, labels)
    np.testing.assert_allclose(shares, [0.5, 0.5 / 0.7, 1.0, 0.0, 0.0])
    assert found.dtype == np.int32
    np.testing.assert_array_equal(resample_labels(weights, np.zeros(4, np.int32)), 0)


def test_there_and_back():
    fine, coarse = turned(4), ball(3)
    there, back = resampling(fine, coarse), resampling(coarse, fine)
    values = bumps(fine.vertices / 100.0, sharpness=5.0)
    again = resample_numbers(back, resample_numbers(there, values))
    assert np.corrcoef(values, again)[0, 1] > 0.998
    labels = np.digitize(values, np.quantile(values, [0.25, 0.5, 0.75])).astype(np.int32) + 1
    again = resample_labels(back, resample_labels(there, labels))
    assert (again == labels).mean() > 0.93


@pytest.mark.parametrize("name", ["source_areas", "target_areas", "is_known"])
def test_areas_and_masks_of_another_mesh_are_refused(name):
    source, target = PAIRS["alike"]
    with pytest.raises(SurfaceError, match=name):
        resampling(source, target, **{name: np.ones(17)})


@pytest.mark.skipif(shutil.which("wb_command") is None, reason="no Connectome Workbench")
@pytest.mark.parametrize(("source", "target"), [(5, 4), (4, 5)], ids=["finer to coarser", "coarser to finer"])
def test_is_what_connectome_workbench_gives(tmp_path, source, target):
    rng = np.random.default_rng(2)
    meshes = {
        "source": turned(source),
        "target": Mesh(100 * ball(target).vertices, ball(target).faces),
    }
    n = meshes["source"].n_vertices
    areas = {name: rng.uniform(0.5, 2.0, mesh.n_vertices) for name, mesh in meshes.items()}
    is_known = meshes["source"].vertices[:, 0] > -50.0
    values = rng.normal(size=(n, 2))
    labels = rng.integers(1, 5, n).astype(np.int32)
    for name, mesh in meshes.items():
        write_surface(tmp_path / f"{name}.surf.gii", mesh, "L", "sphere")
        write_scalars(tmp_path / f"{name}.shape.gii", {"area": areas[name]}, "L")
    write_scalars(tmp_path / "known.shape.gii", {"known": is_known}, "L")
    write_scalars(tmp_path / "in.func.gii", {"a": values[:, 0], "b": values[:, 1]}, "L")
    write_labels(tmp_path / "in.label.gii", labels, LabelTable.from_names(list("abcd")), "L")
    for kind, ending in (("metric", "func"), ("label", "label")):
        words = ["wb_command", f"-{kind}-resample", f"in.{ending}.gii", "source.surf.gii", "target.surf.gii"]
        words += ["ADAP_BARY_AREA", f"out.{ending}.gii", "-area-metrics", "source.shape.gii", "target.shape.gii"]
        words += ["-current-roi", "known.shape.gii"]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    weights = resampling(meshes["source"], meshes["target"], areas["source"], areas["target"], is_known)
    expected = np.stack([array.data for array in nib.load(tmp_path / "out.func.gii").darrays], axis=1)
    # Workbench: the nearest point of a mesh instead of the ray's, and float32
    np.testing.assert_allclose(np.nan_to_num(resample_numbers(weights, values)), expected, atol=5e-3)
    votes = nib.load(tmp_path / "out.label.gii").darrays[0].data
    is_seen = np.asarray(weights.sum(axis=1)).ravel() > 0
    assert (resample_labels(weights, labels)[is_seen] == votes[is_seen]).mean() > 0.995
