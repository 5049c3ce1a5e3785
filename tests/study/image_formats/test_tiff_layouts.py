"""Ways in which TIFFs keep pixels: colours in planes, palettes, compressions; each against what was written."""

import io
from contextlib import closing

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.registry import check_pixels, open_reader, read_header
from cytomesh.study.pixels import ImageSettings

HEIGHT, WIDTH, TILE = 128, 192, 64
NOISE = gaussian_filter(np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 3)), (6, 6, 0))
BLOTS = (127 + 120 * NOISE / np.abs(NOISE).max()).astype(np.uint8)


def whole(path, settings=None):
    with open_image(path, 0, settings) as image:
        return image.read(0, 0, image.shape[0], 0, image.shape[1])


@pytest.mark.parametrize("layout", [{"tile": (TILE, TILE)}, {"rowsperstrip": 16}])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("compression", "dtype"),
    [
        (None, np.uint8),
        ("zlib", np.uint16),
        ("lzw", np.uint8),
        ("zstd", np.uint16),
        ("jpeg2000", np.uint8),
        ("jpeg2000", np.uint16),
    ],
)
def test_colours_side_by_side_or_in_planes_in_every_compression(tmp_path, layout, planar, compression, dtype):
    pixels = BLOTS.astype(dtype) * (1 if dtype == np.uint8 else 200)
    stored = np.moveaxis(pixels, 2, 0) if planar == "separate" else pixels
    keys = {"compression": compression, "planarconfig": planar, "photometric": "rgb", **layout}
    if compression == "jpeg2000":
        keys["compressionargs"] = {"reversible": True, "level": 0}
    tifffile.imwrite(tmp_path / "a.tif", stored, **keys)
    header = read_header(tmp_path / "a.tif")
    assert (header.shape, header.n_channels, header.dtype) == ((HEIGHT, WIDTH), 3, np.dtype(dtype).name)
    check_pixels(header)
    with closing(open_reader(header)) as reader:
        np.testing.assert_array_equal(reader.read(0, slice(0, HEIGHT), slice(0, WIDTH)), pixels)
        window = reader.read(0, slice(50, 71), slice(60, 61), slice(1, 3))
        np.testing.assert_array_equal(window, pixels[50:71, 60:61, 1:])


@pytest.mark.parametrize(("name", "sampling"), [("4:4:4", (1, 1)), ("4:2:0", (2, 2))])
def test_tiles_of_ycbcr_jpeg_are_what_libjpeg_makes_of_them(tmp_path, name, sampling):
    places = [(row, column) for row in range(0, HEIGHT, TILE) for column in range(0, WIDTH, TILE)]
    tiles = {}
    for row, column in places:
        tiles[row, column] = io.BytesIO()
        tile = Image.fromarray(BLOTS[row : row + TILE, column : column + TILE])
        tile.save(tiles[row, column], "JPEG", subsampling=name, quality=95)
    facts = {"shape": BLOTS.shape, "dtype": BLOTS.dtype, "tile": (TILE, TILE), "photometric": "ycbcr"}
    data = iter([tile.getvalue() for tile in tiles.values()])
    tifffile.imwrite(tmp_path / "a.tif", data, compression="jpeg", subsampling=sampling, **facts)
    pixels = whole(tmp_path / "a.tif").astype(int)
    for row, column in places:
        expected = np.asarray(Image.open(tiles[row, column])).astype(int)
        np.testing.assert_allclose(pixels[row : row + TILE, column : column + TILE], expected, atol=4)
    assert np.abs(pixels - BLOTS).mean() < 2


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_its_colours(tmp_path, bits):
    colours = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    numbers = np.random.default_rng(1).integers(0, 256, (300, 500), np.uint8)
    written = colours if bits == 8 else colours * 257
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=written, tile=(TILE, TILE))
    assert read_header(tmp_path / "a.tif").n_channels == 3
    expected = colours.T.astype(np.uint8)[numbers]
    np.testing.assert_array_equal(whole(tmp_path / "a.tif"), expected)
    np.testing.assert_array_equal(whole(tmp_path / "a.tif", ImageSettings(channels=1)), expected[..., 1:2])
    if bits == 16:
        with Image.open(tmp_path / "a.tif") as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)
