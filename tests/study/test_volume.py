import nibabel as nib
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from cytomesh.core.errors import StudyError
from cytomesh.study.check import check_study
from cytomesh.study.contours import read_contours
from cytomesh.study.study import open_study
from cytomesh.study.volume import VolumeCut, cut_volume

SHAPE = (30, 36, 26)


def ball(path, spacing=(1.0, 1.0, 1.0), flip=False, rotation=0.0):
    """Two shells around the world's origin: grey 1 to 12 mm, white 2 to 8 mm."""
    affine = np.diag([*spacing, 1.0])
    if flip:
        affine[0, 0] *= -1
    c, s = np.cos(rotation), np.sin(rotation)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ affine[:3, :3]
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    radius = np.linalg.norm(places, axis=-1)
    labels = np.where(radius < 8, 2, np.where(radius < 12, 1, 0)).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("flip", [False, True])
def test_rings_lie_on_the_spheres_they_were_cut_from(tmp_path, axis, flip):
    volume = ball(tmp_path / "v.nii.gz", spacing=(1.0, 0.8, 1.1), flip=flip, rotation=0.2)
    manifest = cut_volume(volume, VolumeCut(axis, (1,), (2,)), tmp_path / "study")
    assert check_study(manifest).problems == ()
    (brain,) = open_study(manifest).brains
    assert brain.hemispheres == ("L", "R")
    area = 0.0
    for section in brain.sections:
        contours = read_contours(section)
        for side, rings in contours.items():
            for region, radius in ((rings.pial, 12), (rings.white, 8)):
                points = section.plane.world(shapely.get_coordinates(region))
                # the cut at the midline is no sphere
                curved = points[np.abs(points[:, 0]) > 1.5]
                if len(curved) and abs(section.plane.offset_mm) < 0.8 * radius:
                    assert np.abs(np.linalg.norm(curved, axis=1) - radius).max() < 1.1
            middle = rings.pial.centroid
            x = section.plane.world(np.array([[middle.x, middle.y]]))[0, 0]
            assert (x < 0) == (side == "L")
            area += rings.pial.area * np.prod(section.plane.um_per_px) * 1e-6
    spacing = np.diff([section.plane.offset_mm for section in brain.sections])
    assert area * spacing.mean() == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.02)
    assert len(read_contours(brain.sections[0])) == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2))
def test_every_nth_plane_and_its_position(tmp_path_factory, every, axis):
    folder = tmp_path_factory.mktemp("volume")
    manifest = cut_volume(ball(folder / "v.nii"), VolumeCut(axis, (1,), (2,), every=every), folder)
    offsets = [section.plane.offset_mm for section in open_study(manifest).brains[0].sections]
    np.testing.assert_allclose(np.diff(offsets)[1:-1], every)
    assert np.allclose(np.array(offsets) % 1, 0.5)


def test_pixels_of_uneven_voxels_are_square(tmp_path):
    manifest = cut_volume(ball(tmp_path / "v.nii", spacing=(0.8, 1, 1.2)), VolumeCut(1, (1,), (2,)), tmp_path)
    for section in open_study(manifest).brains[0].sections:
        np.testing.assert_allclose(section.plane.um_per_px, 800)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (VolumeCut(1, (3,), (2,)), r"no voxel of label 3, expected labels that the volume has: \[0, 1, 2\]"),
        (VolumeCut(1, (1, 2), (2,)), r"labels \[2\] as grey and as white matter"),
        (VolumeCut(1, (), (2,)), "no label of grey matter"),
        (VolumeCut(3, (1,), (2,)), "axis 0, 1 or 2"),
    ],
)
def test_labels_that_are_not_there(tmp_path, cut, message):
    with pytest.raises(StudyError, match=message):
        cut_volume(ball(tmp_path / "v.nii"), cut, tmp_path)


def test_what_is_no_classified_volume(tmp_path):
    cut, path = VolumeCut(1, (1,), (2,)), tmp_path / "v.nii"
    with pytest.raises(StudyError, match="no such volume"):
        cut_volume(path, cut, tmp_path)
    path.write_bytes(b"nothing")
    with pytest.raises(StudyError, match="cannot be read"):
        cut_volume(path, cut, tmp_path)
    nib.save(nib.Nifti1Image(np.full((3, 3, 3), 0.5, np.float32), np.eye(4)), path)
    with pytest.raises(StudyError, match="three dimensions of whole labels"):
        cut_volume(path, cut, tmp_path)


def test_volumes_in_micrometres_have_their_true_size(tmp_path):
    image = nib.load(ball(tmp_path / "mm.nii"))
    micron = nib.Nifti1Image(np.asarray(image.dataobj), np.diag([25.0, 25.0, 25.0, 1.0]) @ image.affine)
    micron.header.set_xyzt_units("micron")
    nib.save(micron, tmp_path / "um.nii.gz")
    cut = VolumeCut(1, (1,), (2,))
    (brain,) = open_study(cut_volume(tmp_path / "um.nii.gz", cut, tmp_path / "study")).brains
    (plain,) = open_study(cut_volume(tmp_path / "mm.nii", cut, tmp_path / "plain")).brains
    for section, other in zip(brain.sections, plain.sections, strict=True):
        np.testing.assert_allclose(section.plane.um_per_px, 25.0)
        np.testing.assert_allclose(section.plane.to_world, 0.025 * other.plane.to_world, atol=1e-6)


def test_a_volume_of_unknown_place_is_refused(tmp_path):
    image = nib.load(ball(tmp_path / "v.nii"))
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "nowhere.nii")
    with pytest.raises(StudyError, match=r"nowhere\.nii: found no orientation"):
        cut_volume(tmp_path / "nowhere.nii", VolumeCut(1, (1,), (2,)), tmp_path)
