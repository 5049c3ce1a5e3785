import gzip
import time

import nibabel as nib
import numpy as np
import pytest

from cytomesh.core.errors import AtlasError, TransformError
from cytomesh.core.progress import speak
from cytomesh.study.nifti import open_nifti

AFFINE = np.array([[2.0, 0.1, 0, -8], [-0.1, 2.0, 0, -9], [0, 0, 2.0, -10], [0, 0, 0, 1]])


def written(path, values=None, affine=AFFINE, unit=None, change=None):
    """Write a file and return its path; `change` may spoil the header before."""
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4) if values is None else values, affine)
    if unit:
        image.header.set_xyzt_units(unit)
    if change:
        change(image)
    nib.save(image, path)
    return path


def opened(path, **options):
    return open_nifti(path, AtlasError, missing="no such map", hint="correct the path", **options)


@pytest.mark.parametrize(("unit", "per_mm"), [(None, 1), ("mm", 1), ("micron", 1000), ("meter", 0.001)])
def test_affines_are_in_mm_whatever_the_unit(tmp_path, unit, per_mm):
    affine = np.diag([per_mm, per_mm, per_mm, 1]) @ AFFINE
    volume = opened(written(tmp_path / "v.nii.gz", affine=affine, unit=unit))
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-6)
    assert volume.shape == (2, 3, 4)
    np.testing.assert_array_equal(volume.read(), np.arange(24).reshape(2, 3, 4))
    np.testing.assert_array_equal(volume.read(np.float32, (..., 1)), np.arange(24).reshape(2, 3, 4)[..., 1])


def no_place(image):
    image.set_sform(AFFINE, 0)
    image.set_qform(AFFINE, 0)


def two_places(sform_code, qform_code, shift):
    def change(image):
        moved = np.diag([2.0, 2.0, 2.0, 1.0])
        image.set_sform(moved, sform_code)
        moved = moved.copy()
        moved[0, 3] = shift
        image.set_qform(moved, qform_code)

    return change


def test_a_volume_without_a_place_is_refused_unless_it_needs_none(tmp_path):
    path = written(tmp_path / "v.nii", change=no_place)
    with pytest.raises(AtlasError, match=r"v\.nii: found no orientation.*set the sform"):
        opened(path)
    assert not opened(path, needs_place=False).is_oriented


def test_two_places_in_one_header(tmp_path, capsys):
    with pytest.raises(AtlasError, match="an sform and a qform that differ by up to 3 .*both of code 1"):
        opened(written(tmp_path / "a.nii", change=two_places(1, 1, 3.0)))
    assert opened(written(tmp_path / "b.nii", change=two_places(1, 1, 0.1))).affine[0, 3] == 0
    speak()
    assert opened(written(tmp_path / "c.nii", change=two_places(4, 1, 3.0))).affine[0, 3] == 0
    assert "c.nii: an sform and a qform that differ by up to 3" in capsys.readouterr().err


def test_singular_affines(tmp_path):
    with pytest.raises(AtlasError, match=r"v\.nii: found an affine that is not invertible"):
        opened(spoil(written(tmp_path / "v.nii"), SROW_Y, bytes(16)))


def test_colours_and_complex_numbers(tmp_path):
    rgb = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(AtlasError, match=r"rgb\.nii: found values of type RGB.*one number a voxel"):
        opened(written(tmp_path / "rgb.nii", rgb))
    with pytest.raises(AtlasError, match=r"c\.nii: found values of type complex64"):
        opened(written(tmp_path / "c.nii", np.zeros((2, 2, 2), np.complex64)))


def spoil(path, start, raw):
    """Overwrite bytes of an uncompressed file, or of what a compressed one holds."""
    compressed = path.name.endswith(".gz")
    content = bytearray(gzip.decompress(path.read_bytes()) if compressed else path.read_bytes())
    content[start : start + len(raw)] = raw
    path.write_bytes(gzip.compress(bytes(content)) if compressed else bytes(content))
    return path


DIM, DATATYPE, UNITS, SROW_Y = 40, 70, 123, 296  # offsets in the header


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize(
    ("start", "values", "message"),
    [
        (DIM, [3, 0, 3, 4], r"shape \(0, 3, 4\).*one voxel or more"),
        (DIM, [3, -2, 3, 4], r"shape \(-2, 3, 4\).*one voxel or more"),
        (DIM, [3, 32767, 32767, 32767], r"shape \(32767, 32767, 32767\), [0-9,]{18} bytes, in a file of"),
        (DIM, [3, 2, 3, 32767], None),
        (DATATYPE, [999], "a file that cannot be read"),
    ],
)
def test_headers_that_cannot_be_are_refused_before_anything_is_allocated(tmp_path, name, start, values, message):
    path = spoil(written(tmp_path / name), start, np.array(values, "<i2").tobytes())
    with pytest.raises(AtlasError, match=rf"{name}: found {message or ''}"):
        opened(path).read()


def test_unknown_units(tmp_path):
    with pytest.raises(AtlasError, match=r"v\.nii: found xyzt_units 7, expected one of unknown, mm"):
        opened(spoil(written(tmp_path / "v.nii"), UNITS, b"\x07"))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files(tmp_path, share):
    values = np.random.default_rng(0).integers(0, 9, (20, 20, 20)).astype(np.int16)
    for name in ("v.nii", "v.nii.gz"):
        path = written(tmp_path / name, values)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(TransformError, match=rf"{name}: found .*download it again"):
            open_nifti(path, TransformError, missing="").read()


def test_missing_and_other_files(tmp_path):
    with pytest.raises(AtlasError, match="no such map.*correct the path"):
        opened(tmp_path / "none.nii")
    nib.save(nib.MGHImage(np.zeros((2, 2, 2), np.float32), np.eye(4)), tmp_path / "v.mgz")
    with pytest.raises(AtlasError, match="found MGHImage, expected NIfTI.*mri_convert"):
        opened(tmp_path / "v.mgz")


def test_a_changed_byte_of_a_packed_volume_is_found(tmp_path):
    """Its checksum is behind the last voxel, where nobody reads."""
    path = tmp_path / "a.nii.gz"
    values = np.random.default_rng(0).random((12, 12, 12)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    with pytest.raises(AtlasError, match=r"a\.nii\.gz: found a packed file that is damaged"):
        open_nifti(path, AtlasError, missing="no map").read()


def test_a_packed_volume_of_another_size_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), path)
    for _ in range(2):
        path.write_bytes(path.read_bytes() + gzip.compress(bytes(2**26)))
    with pytest.raises(AtlasError, match=r"a\.nii\.gz: found .* bytes or more, unpacked, expected the 416 of its"):
        open_nifti(path, AtlasError, missing="no map")


def test_what_stands_behind_a_packed_volume_is_left_alone(tmp_path):
    path = tmp_path / "a.nii.gz"
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 64), np.uint8)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    path.write_bytes(path.read_bytes() + b" ")
    np.testing.assert_array_equal(open_nifti(path, AtlasError, missing="no map").read(), values)


def test_many_members_of_a_packed_volume_take_no_longer(tmp_path):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), path)
    path.write_bytes(path.read_bytes() + gzip.compress(b"") * 200_000)
    start = time.process_time()
    open_nifti(path, AtlasError, missing="no map")
    assert time.process_time() - start < 8
