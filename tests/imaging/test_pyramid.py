import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.imaging.halving import halve
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.image_formats.tiff import TiffReader


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 255, (301, 402), dtype=np.uint8)


def write_tiff(path, array, **keys):
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(array, subifds=1, tile=(64, 64), **keys)
        tiff.write(halve(np.atleast_3d(array)).squeeze(), subfiletype=1, tile=(64, 64), **keys)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 26])
@pytest.mark.parametrize("suffix", [".ome.zarr", ".tif", ".png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_windows_of_all_formats(tmp_path, array, suffix, channels, cache_bytes):
    image = array if channels == 1 else np.dstack([array, array // 2, 255 - array])
    path = tmp_path / f"a{suffix}"
    if suffix == ".ome.zarr":
        write_ome_zarr(path, image, 20.0)
    elif suffix == ".tif":
        write_tiff(path, image, photometric="minisblack" if channels == 1 else "rgb")
    else:
        Image.fromarray(image).save(path)
    with open_image(path, cache_bytes) as pyramid:
        assert pyramid.shape == (301, 402) and pyramid.n_channels == channels
        assert pyramid.level_scales[:2] == (1, 2)
        window = pyramid.read(0, 10, 60, 301, 402)
        assert window.shape == (50, 101, channels) and window.dtype == np.uint8
        np.testing.assert_array_equal(window, np.atleast_3d(image)[10:60, 301:402])
        coarse = pyramid.read(1, 0, 151, 0, 201)
        np.testing.assert_array_equal(coarse, halve(np.atleast_3d(image)))


def test_a_level_that_is_kept_is_decoded_once_for_several_readers(tmp_path, array, monkeypatch):
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, array)
    decoded, decode = [], TiffReader.read

    def decode_slowly(levels, *window):
        decoded.append(window)
        time.sleep(0.05)
        return decode(levels, *window)

    monkeypatch.setattr(TiffReader, "read", decode_slowly)
    with open_image(path) as image, ThreadPoolExecutor(4) as threads:
        windows = list(threads.map(lambda row: image.read(0, row, row + 2, 0, 5), range(4)))
    assert len(decoded) == 1
    for row, window in enumerate(windows):
        assert np.array_equal(window.squeeze(), array[row : row + 2, :5].squeeze())


def test_halve_averages_two_by_two():
    image = np.array([[0, 2, 9], [4, 6, 11], [255, 255, 255]], np.uint8)[..., None]
    np.testing.assert_array_equal(halve(image)[..., 0], [[3, 10], [255, 255]])


@pytest.mark.parametrize("suffix", [".ome.zarr", ".tif", ".png", ".jpg"])
def test_coarse_levels_lie_where_they_say(tmp_path, suffix):
    """The centre of mass of a blob, in pixels of level 0, is the same at every level."""
    rows, columns = np.mgrid[:513, :701]
    blob = (250 * np.exp(-((rows - 200.3) ** 2 + (columns - 370.8) ** 2) / (2 * 30**2))).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix == ".ome.zarr":
        write_ome_zarr(path, blob, 2.0, n_levels=4)
    elif suffix == ".tif":
        write_tiff(path, blob, photometric="minisblack")
    else:
        Image.fromarray(blob).save(path, **({"quality": 95} if suffix == ".jpg" else {}))
    with open_image(path) as pyramid:
        assert len(pyramid.levels) > 1
        for index, level in enumerate(pyramid.levels):
            image = pyramid.read(index, 0, level.shape[0], 0, level.shape[1])[..., 0]
            image = np.maximum(image - 10.0, 0.0)  # without what JPEG leaves around the blob
            at = [np.average(grid, weights=image) for grid in np.mgrid[: level.shape[0], : level.shape[1]]]
            np.testing.assert_allclose(np.array(at) * level.scale + level.offset, [200.3, 370.8], atol=0.06)


def test_ome_zarr_metadata_is_that_of_the_standard(tmp_path, array):
    write_ome_zarr(tmp_path / "sub-B01_BF.ome.zarr", array, 20.0, n_levels=2)
    ome = json.loads((tmp_path / "sub-B01_BF.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.5"
    image = ome["multiscales"][0]
    assert [axis["name"] for axis in image["axes"]] == ["y", "x"]
    assert all(axis["unit"] == "micrometer" for axis in image["axes"])
    assert image["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [40.0, 40.0]},
        {"type": "translation", "translation": [10.0, 10.0]},
    ]
    level = zarr.open_array(str(tmp_path / "sub-B01_BF.ome.zarr" / "0"), mode="r")
    np.testing.assert_array_equal(level[:], array)
    assert level.metadata.dimension_names == ("y", "x")


def test_number_of_levels(tmp_path, array):
    for n_levels, expected in ((None, 2), (1, 1), (5, 5)):
        write_ome_zarr(tmp_path / "a.ome.zarr", array, 20.0, n_levels)
        header = read_header(tmp_path / "a.ome.zarr")
        assert len(header.levels) == expected and header.um_per_px == 20.0
        with open_image(tmp_path / "a.ome.zarr") as pyramid:
            assert len(pyramid.levels) == max(expected, 2) and pyramid.um_per_px == 20.0


@pytest.mark.parametrize("cache_bytes", [0, 40_000, 1 << 26])
@pytest.mark.parametrize("band_px", [5_000, 1 << 26])
@pytest.mark.parametrize("name", ["a.png", "flat.tif", "tiles.tif", "flat.zarr"])
def test_the_same_pixels_give_the_same_levels_in_every_format(tmp_path, monkeypatch, name, band_px, cache_bytes):
    """Levels of an image that is stored at one resolution, against one halved as a whole."""
    monkeypatch.setattr("cytomesh.imaging.pyramid.BAND_PX", band_px)
    array = np.random.default_rng(1).integers(0, 256, (391, 523, 3), np.uint8)
    if name == "a.png":
        Image.fromarray(array).save(tmp_path / name)
    elif name == "flat.zarr":
        write_ome_zarr(tmp_path / name, array, 20.0, n_levels=1)
    else:
        tifffile.imwrite(tmp_path / name, array, photometric="rgb", tile=(64, 64) if name == "tiles.tif" else None)
    rng = np.random.default_rng(2)
    with open_image(tmp_path / name, cache_bytes) as pyramid:
        assert pyramid.level_scales == (1, 2, 4)
        for index, level in enumerate(pyramid.levels):
            assert level.shape == array.shape[:2] and level.offset == ((2**index - 1) / 2,) * 2
            windows = [(0, level.shape[0], 0, level.shape[1]), (5, 5, 0, 3)]
            for _ in range(4):
                row0, row1 = np.sort(rng.integers(0, level.shape[0] + 1, 2))
                col0, col1 = np.sort(rng.integers(0, level.shape[1] + 1, 2))
                windows.append((int(row0), int(row1), int(col0), int(col1)))
            for row0, row1, col0, col1 in windows:
                np.testing.assert_array_equal(pyramid.read(index, row0, row1, col0, col1), array[row0:row1, col0:col1])
            array = halve(array)


def test_the_same_pixels_give_the_same_patches_in_every_format(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", array)
    write_ome_zarr(tmp_path / "a.zarr", array, 20.0, n_levels=1)
    patches = []
    for name in ("a.png", "a.tif", "a.zarr"):
        with open_image(tmp_path / name) as pyramid:
            pixels, angles = np.array([[200.0, 150.0], [30.0, 280.0]]), np.array([90.0, 33.0])
            patches.append(read_patches(pyramid, 20.0, pixels, angles, 32, 50.0))
    np.testing.assert_array_equal(patches[0], patches[1])
    np.testing.assert_array_equal(patches[0], patches[2])


def test_an_image_appears_whole_or_not_at_all(tmp_path, array, monkeypatch):
    write_ome_zarr(tmp_path / "a.ome.zarr", array, 20.0)

    def fail(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cytomesh.imaging.ome_zarr.halve", fail)
    with pytest.raises(KeyboardInterrupt):
        write_ome_zarr(tmp_path / "a.ome.zarr", 255 - array, 20.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]
    with open_image(tmp_path / "a.ome.zarr") as pyramid:
        np.testing.assert_array_equal(pyramid.read(0, 0, 301, 0, 402)[..., 0], array)


def test_wrong_arrays_are_not_written(tmp_path):
    for array in (np.zeros((4, 4), np.uint16), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(ImageError, match="expected uint8"):
            write_ome_zarr(tmp_path / "a.ome.zarr", array, 1.0)


def test_images_that_cannot_be_read(tmp_path, array):
    with pytest.raises(ImageError, match=r"none.png: found no such image.*Way out"):
        open_image(tmp_path / "none.png")
    Image.fromarray(array).save(tmp_path / "short.png")
    (tmp_path / "short.png").write_bytes((tmp_path / "short.png").read_bytes()[:5000])
    with pytest.raises(ImageError, match="short.png: found pixels that cannot be decoded"):
        open_image(tmp_path / "short.png")
    write_ome_zarr(tmp_path / "a.ome.zarr", array, 1.0)
    chunk = next(path for path in (tmp_path / "a.ome.zarr" / "0" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(b"rubbish")
    with (
        open_image(tmp_path / "a.ome.zarr") as pyramid,
        pytest.raises(ImageError, match="cannot be decoded at level 0"),
    ):
        pyramid.read(0, 0, 301, 0, 402)


def test_windows_beyond_the_image_are_refused(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as pyramid:
        for window in ((-1, 5, 0, 5), (0, 302, 0, 5), (5, 4, 0, 5), (0, 5, 0, 403)):
            with pytest.raises(ImageError, match="a window within 301 rows and 402 columns"):
                pyramid.read(0, *window)
