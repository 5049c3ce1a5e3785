import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cytomesh.core.errors import TransformError
from cytomesh.study.manifest import TransformConfig
from cytomesh.study.transforms import (
    DisplacementField,
    ReferenceTransform,
    load_transform,
    read_displacement,
    write_displacement,
)


def bumpy_field(height_mm: float = 3.0) -> DisplacementField:
    """Smooth displacements on a 2 mm grid from -20 to 20 mm, zero at its border."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -20
    grid = np.stack(np.meshgrid(*[np.arange(21)] * 3, indexing="ij"), -1) * 2.0 - 20
    bump = np.prod(np.cos(np.pi * grid / 40), axis=-1)
    values = height_mm * bump[..., None] * np.array([1.0, -0.5, 0.25])
    return DisplacementField(values.astype(np.float32), affine)


@given(st.integers(0, 100), st.floats(0.5, 2), st.booleans())
def test_inverse_is_an_inverse(seed, scale, is_warped):
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = scale * Rotation.random(random_state=seed).as_matrix()
    affine[:3, 3] = rng.normal(scale=30, size=3)
    transform = ReferenceTransform(affine, bumpy_field() if is_warped else None)
    points = rng.uniform(-30, 30, (50, 3))
    np.testing.assert_allclose(transform.invert(transform.apply(points)), points, atol=1e-5)


def test_displacement_comes_before_the_affine():
    field = bumpy_field()
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    transform = ReferenceTransform(affine, field)
    np.testing.assert_allclose(transform.apply(np.zeros((1, 3))), 2 * np.array([[3.0, -1.5, 0.75]]), rtol=1e-6)
    far = np.array([[100.0, 0, 0]])
    np.testing.assert_allclose(transform.apply(far), 2 * far)


def test_displacement_is_trilinear():
    field = bumpy_field()
    corners = field.values[10:12, 10:12, 10:12].reshape(8, 3)
    np.testing.assert_allclose(field.at(np.array([[1.0, 1.0, 1.0]]))[0], corners.mean(axis=0), rtol=1e-6)


def test_files_round_trip_in_both_layouts(tmp_path):
    field = bumpy_field()
    write_displacement(tmp_path / "field.nii.gz", field)
    nib.save(nib.Nifti1Image(field.values[:, :, :, None], field.affine), tmp_path / "field5.nii")
    for name in ("field.nii.gz", "field5.nii"):
        read = read_displacement(tmp_path / name)
        np.testing.assert_array_equal(read.values, field.values)
        np.testing.assert_allclose(read.affine, field.affine)
    transform = load_transform(TransformConfig(displacement="field.nii.gz"), tmp_path)
    np.testing.assert_allclose(transform.apply(np.zeros((1, 3)))[0], [3.0, -1.5, 0.75], rtol=1e-6)


def test_folding_field_has_no_inverse():
    field = bumpy_field(height_mm=60)
    transform = ReferenceTransform(np.eye(4), field)
    with pytest.raises(TransformError, match="no inverse at"):
        transform.invert(np.random.default_rng(0).uniform(-15, 15, (200, 3)))


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), "4 x 4"),
        (np.zeros((4, 4)) + np.diag([0, 0, 0, 1.0]), "singular"),
        (np.eye(4).T + np.eye(4)[::-1] * 3, "last row"),
        (np.full((4, 4), np.inf), "finite"),
    ],
)
def test_wrong_affines_are_refused(affine, message):
    with pytest.raises(TransformError, match=message):
        ReferenceTransform(affine)


def test_wrong_fields_are_refused(tmp_path):
    with pytest.raises(TransformError, match="no such file"):
        read_displacement(tmp_path / "none.nii")
    (tmp_path / "bad.nii").write_bytes(b"no NIfTI")
    with pytest.raises(TransformError, match="cannot be read"):
        read_displacement(tmp_path / "bad.nii")
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4)), tmp_path / "scalar.nii")
    with pytest.raises(TransformError, match=r"expected \(x, y, z, 3\)"):
        read_displacement(tmp_path / "scalar.nii")
    nib.save(nib.Nifti1Image(np.full((3, 3, 3, 3), np.nan, np.float32), np.eye(4)), tmp_path / "nan.nii")
    with pytest.raises(TransformError, match="not finite"):
        read_displacement(tmp_path / "nan.nii")


def field_file(path, values, intent=0, unit="mm"):
    """A field on a 2 mm grid around the origin, as other programs write it."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -20
    image = nib.Nifti1Image(np.asarray(values, np.float32), affine)
    image.header["intent_code"] = intent
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return path


GRID = np.stack(np.meshgrid(*[np.arange(21)] * 3, indexing="ij"), axis=-1) * 2.0 - 20
MOVED = np.array([3.0, 4.0, 0.5])


@pytest.mark.parametrize(
    ("convention", "values", "intent"),
    [
        (None, np.zeros((21, 21, 21, 3)) + MOVED, 0),
        ("ras", np.zeros((21, 21, 21, 1, 3)) + MOVED, 1007),
        ("itk", np.zeros((21, 21, 21, 1, 3)) + MOVED * (-1, -1, 1), 1007),
        ("spm", (GRID + MOVED)[:, :, :, None], 1007),
    ],
)
def test_fields_of_all_programs_move_a_point_alike(tmp_path, convention, values, intent):
    field_file(tmp_path / "w.nii.gz", values, intent)
    transform = load_transform(TransformConfig(displacement="w.nii.gz", convention=convention), tmp_path)
    np.testing.assert_allclose(transform.apply(np.array([[5.0, -3.0, 2.0]])), [[8.0, 1.0, 2.5]], atol=1e-5)


@pytest.mark.parametrize(
    ("convention", "values", "intent", "unit", "message"),
    [
        (None, np.ones((21, 21, 21, 1, 3)), 1007, "mm", "vectors .intent 1007.*to_reference.convention: itk"),
        (None, np.ones((21, 21, 21, 3)), 2006, "mm", "of FSL.*wb_command -convert-warpfield"),
        ("ras", np.ones((21, 21, 21, 3)), 2016, "mm", "of FSL"),
        ("ras", GRID + MOVED, 0, "mm", "positions in mm, expected displacements.*spm for positions"),
        ("itk", (GRID + MOVED) * (-1, -1, 1), 0, "mm", "positions in mm"),
        ("spm", np.ones((21, 21, 21, 3)), 0, "mm", "displacements.*expected positions"),
        (None, np.ones((21, 21, 21, 3)), 0, "micron", "unit micron.*in mm"),
    ],
)
def test_fields_that_contradict_what_is_said_of_them(tmp_path, convention, values, intent, unit, message):
    path = field_file(tmp_path / "w.nii.gz", values, intent, unit)
    with pytest.raises(TransformError, match=rf"w\.nii\.gz: found .*{message}"):
        read_displacement(path, convention)
