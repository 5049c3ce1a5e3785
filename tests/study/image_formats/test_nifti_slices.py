import nibabel as nib
import numpy as np
import pytest

from cytomesh.core.errors import ImageError
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.pyramid import open_image, open_section, open_stored
from cytomesh.study.check import check_study
from cytomesh.study.image_formats.part import ImagePart
from cytomesh.study.image_formats.registry import check_pixels, decode_all, read_header
from cytomesh.study.study import open_study

HEIGHT, WIDTH, DEPTH = 60, 80, 5
VOLUME = np.random.default_rng(0).integers(0, 256, (WIDTH, HEIGHT, DEPTH), np.uint8)
MM = np.diag([0.1, 0.1, 0.5, 1.0])


def write(path, values, affine=MM, unit="mm", scale=None):
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units(unit)
    if scale is not None:
        image.header.set_slope_inter(*scale)
    nib.save(image, path)
    return path


def stored(path, part):
    with open_stored(path, 0, part) as image:
        assert image.shape == (HEIGHT, WIDTH)
        np.testing.assert_array_equal(image.read(0, 5, 20, 7, 8), image.read(0, 0, HEIGHT, 0, WIDTH)[5:20, 7:8])
        return image.read(0, 0, HEIGHT, 0, WIDTH)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("mirrored", [(1, 1), (-1, -1), (-1, 1)])
def test_a_pixel_is_a_voxel_whatever_the_orientation(tmp_path, name, mirrored):
    path = write(tmp_path / name, VOLUME, MM @ np.diag([*mirrored, 1, 1]))
    for k in (0, 3, 4):
        pixels = stored(path, ImagePart(scene=k))
        assert pixels.dtype == np.uint8
        for row, column in ((0, 0), (59, 79), (10, 70)):
            assert pixels[row, column, 0] == VOLUME[column, row, k]
        np.testing.assert_array_equal(pixels[..., 0], VOLUME[:, :, k].T)
    header = read_header(path, ImagePart(scene=2))
    assert header.um_per_px == pytest.approx(100)
    check_pixels(header)
    decode_all(header)


@pytest.mark.parametrize(
    ("values", "scale", "dtype"),
    [
        (VOLUME.astype(np.uint16) * 250, None, "uint16"),
        ((VOLUME.astype(np.int16) - 100), None, "float32"),
        (VOLUME / 7, None, "float32"),
        (VOLUME.astype(np.float32), None, "float32"),
        (VOLUME, (0.5, 3.0), "float32"),
        (VOLUME.astype(">u2"), None, "uint16"),
    ],
)
def test_types_and_scales(tmp_path, values, scale, dtype):
    path = write(tmp_path / "a.nii", values, scale=scale)
    pixels = stored(path, ImagePart(scene=1))
    assert pixels.dtype == dtype
    expected = np.asarray(nib.load(path).dataobj)[:, :, 1].T
    np.testing.assert_allclose(pixels[..., 0], expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(WIDTH, HEIGHT), (WIDTH, HEIGHT, 1), (WIDTH, HEIGHT, 1, 1)])
def test_a_file_of_one_slice_needs_no_number(tmp_path, shape):
    path = write(tmp_path / "a.nii", VOLUME[:, :, 0].reshape(shape))
    with open_image(path) as image:
        np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], VOLUME[:, :, 0].T)
    np.testing.assert_array_equal(stored(path, ImagePart(scene=0))[..., 0], VOLUME[:, :, 0].T)


@pytest.mark.parametrize(("unit", "um"), [("mm", 100), ("micron", 0.1), ("unknown", None)])
def test_pixel_sizes(tmp_path, unit, um):
    path = write(tmp_path / "a.nii", VOLUME[:, :, 0], unit=unit)
    assert read_header(path).um_per_px == (None if um is None else pytest.approx(um))
    with pytest.raises(ImageError, match=r"a.nii: found pixels of 100 x 200 um"):
        read_header(write(tmp_path / "a.nii", VOLUME[:, :, 0], np.diag([0.1, 0.2, 1, 1])))


def test_a_blank_header_states_no_pixel_size(tmp_path):
    image = nib.Nifti1Image(VOLUME[:, :, 0], None)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "a.nii")
    assert read_header(tmp_path / "a.nii").um_per_px is None


def test_what_cannot_be_a_section_is_named(tmp_path):
    path = write(tmp_path / "a.nii", VOLUME)
    with pytest.raises(ImageError, match=r"a.nii: found 5 slices, expected one. Way out: name it, 0 to 4, in the col"):
        read_header(path)
    with pytest.raises(ImageError, match=r"no slice 5, expected one of 0 to 4"):
        read_header(path, ImagePart(scene=5))
    with pytest.raises(ImageError, match=r"shape \(40, 60, 5, 2\).*Way out"):
        read_header(write(tmp_path / "b.nii", VOLUME.reshape(40, 60, 5, 2)), ImagePart(scene=0))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ImageError, match=r"a.nii: found .*Way out"):
        read_header(path, ImagePart(scene=0))


def test_a_study_of_slices(study_folder, tmp_path):
    volume = write(study_folder.folder / "sub-B01" / "volume.nii.gz", VOLUME)
    rows = study_folder.table.read_text().splitlines()
    for i in (1, 2, 4):
        cells = rows[i].split("\t")
        cells[1], cells[-1] = volume.name, str(i)
        rows[i] = "\t".join(cells)
    assert rows[0].split("\t")[1] == "image" and rows[0].split("\t")[-1] == "scene"
    study_folder.table.write_text("\n".join(rows) + "\n")
    assert check_study(study_folder.manifest).problems == ()
    for section in open_study(study_folder.manifest).brains[0].sections:
        if section.image:
            with open_section(section) as image:
                np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], VOLUME[:, :, section.index].T)
    convert_image(volume, tmp_path / "3.ome.zarr", part=ImagePart(scene=3))
    with open_image(tmp_path / "3.ome.zarr") as image:
        np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], VOLUME[:, :, 3].T)
