"""Patches on the reference midsurface: nearest vertex of their hemisphere, or one clear error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pretrain_study import RADIUS_MM, write_run, write_template

from cytomesh.core.distributed import world
from cytomesh.core.errors import StudyError
from cytomesh.core.run import read_study_path
from cytomesh.graph.storage import load_graphs
from cytomesh.phantom.fields import smooth_field
from cytomesh.phantom.geometry import template
from cytomesh.pretrain.pool import build_pool
from cytomesh.pretrain.template import MAX_SHIFT_MM, mean_edge_mm, open_geodesics, place_on_template, shift_onto
from cytomesh.study.study import open_study
from cytomesh.surface.mesh import Mesh


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("template"))


def test_no_template_is_one_clear_error(run):
    study = open_study(read_study_path(run))
    pool = build_pool(study, load_graphs(run), ("train",))
    with pytest.raises(StudyError, match=r"space\.template\.L.*distance: euclidean"):
        place_on_template(pool, study)


def test_patches_stand_for_their_nearest_vertex(tmp_path):
    run = write_run(tmp_path)
    write_template(run)
    study = open_study(read_study_path(run))
    pool = build_pool(study, load_graphs(run), ("train", "transfer"))
    placed, mesh = place_on_template(pool, study)
    assert mean_edge_mm(mesh) <= 1.5  # the coarse template was refined
    assert np.linalg.norm(mesh.vertices, axis=1).max() <= RADIUS_MM + 1e-5
    for row in (0, 50, 200):
        offset = np.linalg.norm(mesh.vertices - pool.position[row], axis=1)
        assert placed.vertex[row] == np.argmin(offset)
    far = replace(pool, position=pool.position + 50.0)
    with pytest.raises(StudyError, match="reference space"):
        place_on_template(far, study)
    with world("cpu", threads=1) as here:
        first = open_geodesics(run, placed, mesh, 6.0, here)
        again = open_geodesics(run, placed, mesh, 6.0, here)
    assert np.array_equal(first.indices, again.indices)
    assert len(list((run / "geodesics").iterdir())) == 1
    used = np.unique(placed.vertex)
    assert np.array_equal(np.flatnonzero(np.diff(first.indptr)), used)
    i, j = placed.vertex[[3, 60]]
    straight = np.linalg.norm(mesh.vertices[i] - mesh.vertices[j])
    along = float(first.between(np.array([i]), np.array([j]))[0])
    assert along >= straight * 0.999


def test_right_hemispheres_are_mirrored_or_keep_their_own_template(tmp_path):
    run = write_run(tmp_path, hemisphere="R")
    write_template(run)  # of the left hemisphere only
    study = open_study(read_study_path(run))
    graphs = load_graphs(run)
    own, mirrored = (build_pool(study, graphs, ("train",), mirrored=flag) for flag in (False, True))
    assert own.is_right.all()
    assert not mirrored.is_right.any()
    assert np.array_equal(mirrored.position, own.position * [-1, 1, 1])
    assert np.array_equal(mirrored.normal, own.normal * [-1, 1, 1])
    with pytest.raises(StudyError, match="mirrored: true"):
        place_on_template(own, study)
    placed, _ = place_on_template(mirrored, study)
    assert (placed.vertex >= 0).all()


SHIFTS = [(0, 0, 0), (5, 0, 0), (-5, 0, 0), (0, 5, 0), (0, 0, -5), (2.9, 2.9, -2.9), (5.5, -17.2, 3.1), (0, -25, 0)]


@pytest.mark.parametrize("deformation_mm", [0.0, 2.0])
def test_shifts_of_folded_cortex_are_found(deformation_mm):
    """A brain of another shape (fsaverage, deformed by 2 mm a side, 3 mm in all) on fsaverage, moved as a whole.

    Nearest distances do not see it: at 5 mm their median is below 3 mm, for a brain of the same shape, too.
    """
    cortex = template("L")
    mesh = Mesh(cortex.midsurface, cortex.faces)
    own = mesh.vertices
    if deformation_mm:
        bend = smooth_field(0, "shape", "B", rms=deformation_mm, wavelength=(40.0, 90.0))(own)
        own = own + bend - bend.mean(axis=0)
    normals = Mesh(own, cortex.faces).vertex_normals
    for shift in SHIFTS:
        found = -shift_onto(mesh, own + shift, normals)
        assert np.linalg.norm(found - shift) < 1.0
        assert (np.linalg.norm(found) > MAX_SHIFT_MM) == (np.linalg.norm(shift) >= 5)


def test_shifts_of_a_part_of_a_brain_are_found():
    cortex = template("L")
    mesh = Mesh(cortex.midsurface, cortex.faces)
    front = mesh.vertices[:, 1] > 20
    for shift in SHIFTS[:6]:
        found = -shift_onto(mesh, mesh.vertices[front] + shift, mesh.vertex_normals[front])
        np.testing.assert_allclose(found, shift, atol=0.3)


def test_one_brain_that_is_off_is_named(tmp_path):
    run = write_run(tmp_path)
    write_template(run)
    study = open_study(read_study_path(run))
    pool = build_pool(study, load_graphs(run), ("train", "transfer"))
    names = np.array([pool.sections[number].section.brain for number in pool.section])
    for shift, is_refused in (((0.0, 2.0, 0.0), False), ((3.0, -4.0, 0.0), True)):
        moved = replace(pool, position=pool.position + np.where(names == names[-1], 1.0, 0.0)[:, None] * shift)
        if not is_refused:
            place_on_template(moved, study)
            continue
        with pytest.raises(StudyError, match=rf"patches of {names[-1]} off by a shift of 3\.\d, -[34]\.\d, .*c_ras"):
            place_on_template(moved, study)
