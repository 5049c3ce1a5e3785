"""Files that say that they are of the other side are refused; what says nothing, or both, is not."""

from __future__ import annotations

import nibabel.freesurfer as freesurfer
import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.core.sides import IN_AREAS, IN_FILE_NAMES, bare_area, side_of
from cytomesh.surface.annot import write_annot
from cytomesh.surface.any_surface import read_any_surface
from cytomesh.surface.formats import write_freesurfer
from cytomesh.surface.gifti import write_labels, write_scalars, write_surface
from cytomesh.surface.vertex_data import read_vertex_data, read_vertex_labels
from tests.conftest import sphere_mesh
from tests.surface.cifti_files import write_cifti_scalars

N = 12
VALUES = np.arange(N, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("lh.pial", "L"),
        ("rh.Schaefer2018_100Parcels.annot", "R"),
        ("sub-01.R.midthickness.32k_fs_LR.surf.gii", "R"),
        ("sub-R1_hemi-L_space-fsLR_pial.surf.gii", "L"),
        ("tpl-fsaverage_hemi-R_sphere.surf.gii", "R"),
        ("pial_left.gii.gz", "L"),
        ("fsaverage.lh.sphere", "L"),
        ("lh.thickness.rh-on-lh.mgh", None),
        ("corr_R.npy", None),
        ("L1_norm.npy", None),
        ("100307.LR.myelin.dscalar.nii", None),
        ("left-handers.csv", None),
        ("lhasa.npy", None),
        ("x.npy", None),
    ],
)
def test_sides_in_file_names(name, side):
    assert side_of(name, IN_FILE_NAMES) == side


@pytest.mark.parametrize(
    ("name", "side", "bare"),
    [
        ("L_V1_ROI", "L", "V1_ROI"),
        ("rh.bankssts", "R", "bankssts"),
        ("ctx-lh-cuneus", "L", "cuneus"),
        ("7Networks_RH_Vis_1", "R", "7Networks_RH_Vis_1"),
        ("Precentral_L", "L", "Precentral"),
        ("Precentral right", "R", "Precentral"),
        ("lingual", None, "lingual"),
        ("R1", None, "R1"),
    ],
)
def test_sides_in_names_of_areas(name, side, bare):
    assert side_of(name, IN_AREAS) == side and bare_area(name) == bare


def test_files_of_the_other_side_are_refused(tmp_path):
    mesh = sphere_mesh(1)
    write_surface(tmp_path / "a.surf.gii", mesh, "R", "pial")
    write_freesurfer(tmp_path / "rh.pial", mesh)
    for name in ("a.surf.gii", "rh.pial"):
        assert read_any_surface(tmp_path / name, hemisphere="R").n_vertices == mesh.n_vertices
        with pytest.raises(SurfaceError, match=rf"{name}.* of the right side, expected data of hemisphere L"):
            read_any_surface(tmp_path / name, hemisphere="L")
    write_scalars(tmp_path / "a.func.gii", {"a": VALUES}, "R")
    freesurfer.write_morph_data(tmp_path / "rh.thickness", VALUES)
    for name in ("a.func.gii", "rh.thickness"):
        assert len(read_vertex_data(tmp_path / name, N, "R")) == 1
        with pytest.raises(SurfaceError, match=rf"{name}.* of the right side"):
            read_vertex_data(tmp_path / name, N, "L")
    write_labels(tmp_path / "a.label.gii", VALUES, LabelTable.from_names([f"A{i}" for i in range(N)]), "R")
    with pytest.raises(SurfaceError, match=r"a\.label\.gii: found structure CortexRight"):
        read_vertex_labels(tmp_path / "a.label.gii", N, "L")


def test_areas_that_are_all_of_the_other_side_are_refused(tmp_path):
    labels = np.tile([0, 1, 2, 2], 3)
    for names, is_right in ((["R_V1", "R_V2"], True), (["R_V1", "L_V2"], False), (["R_V1", "V2"], False)):
        write_annot(tmp_path / "a.annot", labels, LabelTable.from_names(names))
        if is_right:
            with pytest.raises(SurfaceError, match=r"a\.annot: found areas such as R_V1, R_V2, of the right side"):
                read_vertex_labels(tmp_path / "a.annot", N, "L")
        else:
            assert read_vertex_labels(tmp_path / "a.annot", N, "L")[1].names == tuple(names)
    # a folder's name says nothing, nor that of a file with both sides
    (tmp_path / "rh.old").mkdir()
    np.save(tmp_path / "rh.old" / "x.npy", VALUES)
    assert len(read_vertex_data(tmp_path / "rh.old" / "x.npy", N, "L")) == 1
    write_cifti_scalars(tmp_path / "sub.R.first.dscalar.nii", {side: {"a": VALUES} for side in "LR"})
    assert len(read_vertex_data(tmp_path / "sub.R.first.dscalar.nii", N, "L")) == 1
