import struct
import zipfile

import nibabel as nib
import numpy as np
import pytest

from cytomesh.core.errors import TransformError
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, read_sections, write_sections
from cytomesh.study.warps import InPlaneWarp, read_warp, warped_plane
from tests.warp_files import write_warp

UM_PER_PX = 20.0
MATRIX = np.array([[0.02, 0.0, -10.0], [0.0, 0.004, 3.0], [0.0, -0.0196, 10.0]])


def wave(step_px=20.0, size=61, height_px=15.0):
    """A smooth field over 1,200 x 1,200 px: up to 15 px, changing by up to 0.3 px a pixel."""
    rows, columns = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    values = height_px * np.stack([np.sin(rows / 4.0), np.cos(columns / 5.0)], axis=-1)
    return InPlaneWarp(values, np.array([-10.0, 4.0]), np.full(2, step_px))


def test_displacements_are_bilinear_and_go_on_beyond_the_border():
    warp = InPlaneWarp(np.array([[[0.0, 0], [2, 0]], [[0, 4], [2, 4]]]), np.array([10.0, 20]), np.array([5.0, 10]))
    points = np.array([[10.0, 20], [15, 20], [12.5, 25], [15, 30], [90, 90], [-90, 90]])
    expected = [[0, 0], [2, 0], [1, 2], [2, 4], [2, 4], [0, 4]]
    assert warp.at(points) == pytest.approx(np.array(expected))
    assert warp.apply(points) == pytest.approx(points + expected)


def test_both_directions_of_a_warped_plane_invert_each_other():
    plane = SectionPlane(MATRIX, wave())
    pixels = np.random.default_rng(0).uniform(-100, 1300, (2000, 2))
    there = plane.world(pixels)
    assert np.abs(plane.pixels(there) - pixels).max() < 1e-3
    assert np.abs(plane.distance(there)).max() < 1e-9
    assert np.abs(SectionPlane(MATRIX).pixels(there) - pixels).max() > 10
    away = there + 2.0 * plane.normal
    assert np.abs(plane.pixels(away) - pixels).max() < 1e-3


def test_directions_follow_the_local_field():
    plane = SectionPlane(MATRIX, wave())
    start = plane.world(np.array([[333.3, 402.1], [777.0, 610.2]]))
    step = 1e-3 * np.array([[1.0, 0.02, -0.5], [-0.3, 0.1, 1.0]])
    finite = plane.pixels(start + step) - plane.pixels(start)
    found = plane.directions(step, plane.pixels(start))
    assert found == pytest.approx(finite, rel=0.05, abs=2e-4)


def test_fields_that_fold_or_make_no_sense_are_refused():
    with pytest.raises(TransformError, match="changes by .* px from pixel to pixel"):
        wave(height_px=100.0)
    with pytest.raises(TransformError, match="not finite"):
        InPlaneWarp(np.full((3, 3, 2), np.nan), np.zeros(2), np.ones(2))
    with pytest.raises(TransformError, match=r"shape \(3, 3, 3\)"):
        InPlaneWarp(np.zeros((3, 3, 3)), np.zeros(2), np.ones(2))
    with pytest.raises(TransformError, match="steps above 0"):
        InPlaneWarp(np.zeros((3, 3, 2)), np.zeros(2), np.array([1.0, 0.0]))


@pytest.mark.parametrize("middle", [(), (1,), (1, 1)])
def test_nifti_and_npz_say_the_same(tmp_path, middle):
    warp = wave()
    write_warp(tmp_path / "field.npz", warp)
    mm = UM_PER_PX / 1000
    affine = np.diag([*(warp.step_px * mm), 1.0, 1.0])
    affine[:2, 3] = warp.origin_px * mm
    values = warp.values.transpose(1, 0, 2).reshape(61, 61, *middle, 2) * mm
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "field.nii.gz")
    for name in ("field.npz", "field.nii.gz"):
        read = read_warp(tmp_path / name, UM_PER_PX)
        assert read.values == pytest.approx(warp.values, abs=1e-9)
        assert read.origin_px == pytest.approx(warp.origin_px, abs=1e-5)
        assert read.step_px == pytest.approx(warp.step_px, abs=1e-5)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(TransformError, match=r"lost\.npz.*no such file.*column displacement"):
        read_warp(tmp_path / "lost.npz", UM_PER_PX)
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    with pytest.raises(TransformError, match=r"other\.npz.*displacement_px"):
        read_warp(tmp_path / "other.npz", UM_PER_PX)
    (tmp_path / "text.nii").write_text("no field")
    with pytest.raises(TransformError, match=r"text\.nii.*cannot be read"):
        read_warp(tmp_path / "text.nii", UM_PER_PX)
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 2, 3)), np.eye(4)), tmp_path / "volume.nii")
    with pytest.raises(TransformError, match=r"volume\.nii.*columns, rows, 2"):
        read_warp(tmp_path / "volume.nii", UM_PER_PX)
    write_warp(tmp_path / "folds.npz", InPlaneWarp(np.zeros((3, 3, 2)), np.zeros(2), np.ones(2)))
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(4, 4, 2)), np.eye(4)), tmp_path / "folds.nii")
    with pytest.raises(TransformError, match=r"folds\.nii.*from pixel to pixel"):
        read_warp(tmp_path / "folds.nii", UM_PER_PX)


def test_the_section_table_names_the_field(tmp_path):
    write_warp(tmp_path / "fields" / "3.npz", wave())
    section = Section(
        "B", 3, tmp_path / "3.png", UM_PER_PX, SectionPlane(MATRIX), displacement=tmp_path / "fields" / "3.npz"
    )
    write_sections(tmp_path / "sections.tsv", [section])
    again = read_sections(tmp_path / "sections.tsv", "B")[0]
    assert again.displacement is not None and again.plane.warp is None
    pixels = np.array([[100.0, 200.0]])
    assert warped_plane(again).straight(pixels) == pytest.approx(wave().apply(pixels))
    bare = Section("B", 3, None, UM_PER_PX, SectionPlane(MATRIX))
    assert warped_plane(bare) is bare.plane


def test_damaged_and_foreign_fields_name_the_file(tmp_path):
    write_warp(tmp_path / "f.npz", wave())
    (tmp_path / "f.npz").write_bytes((tmp_path / "f.npz").read_bytes()[:900])
    with pytest.raises(TransformError, match=r"f\.npz: found a field that cannot be read"):
        read_warp(tmp_path / "f.npz", UM_PER_PX)
    image = nib.Nifti1Image(np.zeros((4, 4, 2), np.float32), np.eye(4))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "um.nii")
    with pytest.raises(TransformError, match=r"um\.nii: found unit micron, expected mm"):
        read_warp(tmp_path / "um.nii", UM_PER_PX)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000, 10000000, 2), }\n", b""),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n", bytes(16)),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\n", bytes(8)),
    ],
)
def test_arrays_that_are_not_what_the_archive_holds(tmp_path, header, body):
    path = tmp_path / "warp.npz"
    with zipfile.ZipFile(path, "w") as archive:
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body
        for name in ("displacement_px", "origin_px", "step_px"):
            archive.writestr(f"{name}.npy", content)
    with pytest.raises(TransformError, match=r"warp\.npz: found a field that cannot be read \(displacement_px of"):
        read_warp(path, 100.0)
