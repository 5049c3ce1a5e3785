"""Slides by real OpenSlide, written here by tifffile after what the scanners write."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from cytomesh.core.errors import ImageError, PackageError
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.pyramid import open_image, open_stored
from cytomesh.study.image_formats.registry import check_pixels, read_header, reader_of
from cytomesh.study.image_formats.slide import SlideReader

UM = 500  # nm: Leica's unit


@pytest.fixture(scope="module")
def tissue():
    noise = np.random.default_rng(0).integers(0, 255, (700, 1001, 3)).astype(np.float32)
    smooth = gaussian_filter(noise, (6, 6, 0))
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def coarser(array, factor):
    rows, columns = (n // factor for n in array.shape[:2])
    blocks = array[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
    return blocks.mean((1, 3)).astype(np.uint8)


KEYS = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None}
KEYS["compressionargs"] = {"level": 95}


def write_svs(path, array, mpp="MPP = 0.5", bigtiff=False):
    """As Aperio: the slide, its thumbnail, coarser levels."""
    said = f"Aperio Image Library v11.2.1\r\n{array.shape[1]}x{array.shape[0]} (256x256) JPEG/RGB Q=90|AppMag = 20|"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as tiff:
        tiff.write(array, description=said + mpp, **KEYS)
        tiff.write(array[::8, ::8], description=said, photometric="rgb", compression="jpeg", metadata=None)
        tiff.write(coarser(array, 4), description=said, **KEYS)


def scn_image(dimensions, view):
    facts = enumerate(dimensions)
    levels = "".join(f'<dimension sizeX="{w}" sizeY="{h}" r="{r}" ifd="{i}"/>' for r, (i, w, h) in facts)
    _, w, h = dimensions[0]
    return f"""<image name="a"><creationDate>2020-01-01T00:00:00Z</creationDate><device model="SCN400" version="1"/>
      <pixels sizeX="{w}" sizeY="{h}">{levels}</pixels>
      <view sizeX="{view[0]}" sizeY="{view[1]}" offsetX="{view[2]}" offsetY="{view[3]}"/>
      <scanSettings><objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings>
      <numericalAperture>0.4</numericalAperture><illuminationSource>brightfield</illuminationSource>
      </illuminationSettings></scanSettings></image>"""


def write_scn(path, one, two):
    """As Leica: two regions of one glass that touch at a corner, and an overview of all of it."""
    (h, w), glass = one.shape[:2], (3000 * UM, 2000 * UM)
    places = [(1002, 500), (1002 + w, 500 + h)]
    text = '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
    text += f'<collection name="c" uuid="u" sizeX="{glass[0]}" sizeY="{glass[1]}"><barcode/>'
    text += scn_image([(0, 150, 100)], (*glass, 0, 0))
    for i, (x, y) in enumerate(places):
        levels = [(1 + 2 * i, w, h), (2 + 2 * i, w // 2, h // 2)]
        text += scn_image(levels, (w * UM, h * UM, x * UM, y * UM))
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        overview = np.full((100, 150, 3), 200, np.uint8)
        tiff.write(overview, description=f'<?xml version="1.0"?>{text}</collection></scn>', **KEYS)
        for region in (one, two):
            tiff.write(region, **KEYS)
            tiff.write(coarser(region, 2), **KEYS)


@pytest.mark.parametrize("bigtiff", [False, True])
def test_an_aperio_slide_is_what_tifffile_reads_of_it(tmp_path, tissue, bigtiff):
    path = tmp_path / "A.SVS"
    write_svs(path, tissue, bigtiff=bigtiff)
    header = read_header(path)
    assert reader_of(path) is SlideReader
    assert (header.shape, header.n_channels, header.dtype, header.um_per_px) == ((700, 1001), 3, "uint8", 0.5)
    assert [(level.shape, level.scale) for level in header.levels[1:]] == [((175, 250), (4, 4))]
    check_pixels(header)
    with tifffile.TiffFile(path) as tiff, open_image(path) as image:
        fine, coarse = (level.asarray().astype(int) for level in tiff.series[0].levels)
        np.testing.assert_array_equal(image.read(0, 0, 700, 0, 1001), fine)
        np.testing.assert_array_equal(image.read(0, 300, 651, 251, 300), fine[300:651, 251:300])
        assert image.read(0, 5, 5, 0, 9).shape == (0, 9, 3)
    with open_image(path, cache_bytes=0) as image:
        np.testing.assert_array_equal(image.read(1, 0, 175, 0, 250), coarse)
        # the level is 4.002 times smaller, and OpenSlide takes whole pixels of the finest one: up to 1/8 px beside
        window = image.read(1, 100, 150, 101, 161).astype(int)
        assert np.abs(window - coarse[100:150, 101:161]).max() <= 0.13 * np.abs(np.diff(coarse, axis=1)).max() + 1


def test_a_slide_begins_where_it_was_scanned_and_gaps_are_background(tmp_path, tissue):
    one, two = tissue[:300, :400], tissue[300:600, 400:800]
    write_scn(tmp_path / "a.scn", one, two)
    header = read_header(tmp_path / "a.scn")
    assert [level.shape for level in header.levels] == [(600, 800), (300, 400)]
    assert header.um_per_px is None  # Leica states it in the resolution tags, which are not there
    with tifffile.TiffFile(tmp_path / "a.scn") as tiff, open_image(tmp_path / "a.scn", cache_bytes=0) as image:
        for level, half in ((0, (300, 400)), (1, (150, 200))):
            rows, columns = half
            pixels = image.read(level, 0, 2 * rows, 0, 2 * columns)
            np.testing.assert_array_equal(pixels[:rows, :columns], tiff.pages[1 + level].asarray())
            np.testing.assert_array_equal(pixels[rows:, columns:], tiff.pages[3 + level].asarray())
            assert (pixels[rows:, :columns] == 255).all() and (pixels[:rows, columns:] == 255).all()


def test_windows_are_read_by_several_threads(tmp_path, tissue):
    write_svs(tmp_path / "a.svs", tissue)
    with open_image(tmp_path / "a.svs", cache_bytes=0) as image, ThreadPoolExecutor(4) as threads:
        pixels = image.read(0, 0, 700, 0, 1001)
        windows = threads.map(lambda row: image.read(0, row, row + 90, 40, 640), range(0, 600, 10))
        for row, window in zip(range(0, 600, 10), windows, strict=True):
            np.testing.assert_array_equal(window, pixels[row : row + 90, 40:640])


def test_a_slide_is_converted_pixel_by_pixel(tmp_path, tissue):
    write_svs(tmp_path / "a.svs", tissue)
    assert convert_image(tmp_path / "a.svs", tmp_path / "a.ome.zarr")
    with open_stored(tmp_path / "a.ome.zarr") as copy, open_image(tmp_path / "a.svs") as image:
        assert copy.um_per_px == 0.5
        np.testing.assert_array_equal(copy.read(0, 0, 700, 0, 1001), image.read(0, 0, 700, 0, 1001))


def test_a_slide_without_pixel_size_or_with_another_one(tmp_path, tissue):
    write_svs(tmp_path / "a.svs", tissue, mpp="Left = 1")
    assert read_header(tmp_path / "a.svs").um_per_px is None
    with pytest.raises(ImageError, match=r"a\.svs: found no pixel size"):
        convert_image(tmp_path / "a.svs", tmp_path / "a.ome.zarr")
    write_svs(tmp_path / "a.svs", tissue)
    with pytest.raises(ImageError, match=r"a\.svs: found 0\.5 um/px in the image, 20 given"):
        convert_image(tmp_path / "a.svs", tmp_path / "a.ome.zarr", 20.0)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_slides_cut_off_are_named(tmp_path, tissue, share):
    write_svs(tmp_path / "a.svs", tissue)
    content = (tmp_path / "a.svs").read_bytes()
    (tmp_path / "a.svs").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match=r"a\.svs: found .*Way out"):
        check_pixels(read_header(tmp_path / "a.svs"))


def test_a_plain_tiff_by_the_name_of_a_slide_is_named(tmp_path, tissue):
    tifffile.imwrite(tmp_path / "a.svs", tissue)
    with pytest.raises(ImageError, match=r"a\.svs: found no slide that OpenSlide knows.*name a plain TIFF \.tif"):
        read_header(tmp_path / "a.svs")


def test_without_openslide_the_extra_is_named(tmp_path, tissue, monkeypatch):
    write_svs(tmp_path / "a.svs", tissue)
    monkeypatch.setitem(sys.modules, "openslide", None)  # what Python itself does where an import is to fail
    with pytest.raises(PackageError, match=r"openslide: found a package.*pip install 'cytomesh\[openslide\]'"):
        read_header(tmp_path / "a.svs")
