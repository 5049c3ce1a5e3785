import nibabel as nib
import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.masks import mask_polygons, mask_rings
from cytomesh.study.contours import read_contours

from .contour_section import section

LABELS = {"pial_L": [1, 2], "white_L": [2], "ignore": [9]}


def labels_image():
    image = np.zeros((60, 80), np.uint8)
    image[10:50, 10:70] = 1
    image[20:40, 20:60] = 2
    image[0:3, 0:3] = 9
    return image


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz"])
def test_straight_edges_are_exact(tmp_path, suffix):
    path = tmp_path / f"labels{suffix}"
    if suffix == ".png":
        Image.fromarray(labels_image()).save(path)
    elif suffix == ".tif":
        tifffile.imwrite(path, labels_image())
    else:
        nib.save(nib.Nifti1Image(labels_image().T, np.eye(4)), path)
    contours = read_contours(section(path, labels=LABELS))
    np.testing.assert_allclose(contours["L"].pial.bounds, (9.5, 9.5, 69.5, 49.5), atol=0.03)
    np.testing.assert_allclose(contours["L"].white.bounds, (19.5, 19.5, 59.5, 39.5), atol=0.03)
    assert contours["L"].pial.area == pytest.approx(2400, rel=2e-3)


@pytest.mark.parametrize("radius", [6.0, 20.0])
def test_discs_are_smooth_and_of_the_right_size(radius):
    rows, columns = np.mgrid[:60, :60]
    mask = (columns - 30.3) ** 2 + (rows - 29.6) ** 2 < radius**2
    (ring,) = mask_rings(mask)
    distances = np.hypot(*(ring - (30.3, 29.6)).T)
    assert np.abs(distances - radius).max() < 0.5 and abs(distances.mean() - radius) < 0.08
    assert shapely.Polygon(ring).area == pytest.approx(mask.sum(), rel=0.02)


def test_nested_masks_give_nested_rings_and_holes_stay(tmp_path):
    rng = np.random.default_rng(3)
    outer = np.zeros((50, 50), bool)
    outer[5:45, 5:45] = rng.random((40, 40)) < 0.8
    inner = outer & (rng.random((50, 50)) < 0.7)
    regions = []
    for mask in (outer, inner):
        polygons = [shapely.Polygon(rings[0], rings[1:]) for rings in mask_polygons(tmp_path, mask, 1.0)]
        assert all(polygon.is_valid for polygon in polygons)
        regions.append(shapely.union_all(polygons))
    assert regions[1].difference(regions[0]).area < 0.02 * regions[1].area
    assert len(mask_rings(np.zeros((5, 5), bool))) == 0


def test_coarse_masks_share_corners_with_their_image(study_folder, tmp_path):
    path = tmp_path / "labels.png"
    Image.fromarray(labels_image()[::2, ::2]).save(path)
    with pytest.raises(ContourError, match="40 x 30 px of the section's image.*contours.mask_um_per_px"):
        read_contours(section(path, study_folder.image(1), labels=LABELS))
    contours = read_contours(section(path, study_folder.image(1), labels=LABELS, mask_um_per_px=200.0))
    np.testing.assert_allclose(contours["L"].pial.bounds, (9.5, 9.5, 69.5, 49.5), atol=0.05)


def test_what_cannot_be_used(tmp_path):
    path = tmp_path / "labels.png"
    with pytest.raises(ContourError, match="no such annotation|no such file"):
        read_contours(section(path, labels=LABELS))
    image = labels_image()
    image[30, 30] = 7
    Image.fromarray(image).save(path)
    with pytest.raises(ContourError, match=r"labels \[7\] that no class takes"):
        read_contours(section(path, labels=LABELS))
    with pytest.raises(ContourError, match="labels without a meaning"):
        read_contours(section(path))
