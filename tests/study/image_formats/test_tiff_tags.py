"""Files as other programs write them: each is read as what it means, or refused by name."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.registry import read_header

GREY = np.full((32, 48), 120, np.uint8)
RGB = np.dstack([np.full((32, 48), value, np.uint8) for value in (190, 95, 63)])


def ome(x="50", y="50", unit="\u00b5m"):
    facts = {"axes": "YX", "PhysicalSizeX": x, "PhysicalSizeXUnit": unit}
    return {"metadata": facts | {"PhysicalSizeY": y, "PhysicalSizeYUnit": unit}}


def imagej(unit, per_unit, **more):
    return {
        "imagej": True,
        "resolution": (per_unit, per_unit),
        "metadata": {"axes": "YX", "unit": unit, **more},
    }


@pytest.mark.parametrize(
    ("name", "keys", "um"),
    [
        ("micro.ome.tif", ome(), 50),
        ("mu.ome.tif", ome(unit="\u03bcm"), 50),
        ("metre.ome.tif", ome("5e-5", "5e-5", "m"), 50),
        ("centimetre.ome.tif", ome("5e-3", "5e-3", "cm"), 50),
        ("nanometre.ome.tif", ome("50000", "50000", "nm"), 50),
        ("pixels.ome.tif", ome(unit="pixel"), None),
        ("imagej.tif", imagej("micron", 1 / 50), 50),
        ("imagej_escaped.tif", imagej("\\u00B5m", 2.0), 0.5),
        ("imagej_cm.tif", imagej("cm", 200.0), 50),
        ("imagej_inch.tif", imagej("inch", 508.0), 50),
        ("imagej_pixels.tif", imagej("pixel", 1.0), None),
        ("cm.tif", {"resolution": (200.0, 200.0), "resolutionunit": "CENTIMETER"}, 50),
        ("inch.tif", {"resolution": (508.0, 508.0), "resolutionunit": "INCH"}, 50),
        ("scan.tif", {"resolution": (1200.0, 1200.0), "resolutionunit": "INCH"}, 25400 / 1200),
        ("screen.tif", {"resolution": (72.0, 72.0), "resolutionunit": "INCH"}, None),
        ("print.tif", {"resolution": (300.0, 300.0), "resolutionunit": "INCH"}, None),
        ("screen_cm.tif", {"resolution": (28.346, 28.346), "resolutionunit": "CENTIMETER"}, None),
        ("vips.tif", {"resolution": (10.0, 10.0), "resolutionunit": "CENTIMETER"}, None),
        ("aspect.tif", {"resolution": (50.0, 50.0), "resolutionunit": "NONE"}, None),
        ("nothing.tif", {}, None),
        ("aperio.tif", {"description": "Aperio Image Library v11\r\n48x32|AppMag = 20|MPP = 0.4990|Left = 1"}, 0.499),
        ("comma.tif", {"description": "Aperio Image Library v11\r\n48x32|AppMag = 20|MPP = 0,499"}, 0.499),
        ("power.tif", {"description": "Aperio Image Library v11\r\n48x32|AppMag = 20|MPP = 5e-1|Left = 1"}, 0.5),
    ],
)
def test_pixel_sizes_that_files_state(tmp_path, name, keys, um):
    tifffile.imwrite(tmp_path / name, GREY, **keys)
    assert read_header(tmp_path / name).um_per_px == (None if um is None else pytest.approx(um, rel=1e-4))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ome.ome.tif", ome("100", "200")),
        ("tags.tif", {"resolution": (100.0, 50.0), "resolutionunit": "CENTIMETER"}),
        ("imagej.tif", imagej("micron", 1 / 50, yunit="mm")),
    ],
)
def test_pixels_that_are_not_square_are_refused(tmp_path, name, keys):
    tifffile.imwrite(tmp_path / name, GREY, **keys)
    with pytest.raises(ImageError, match=rf"{name}: found pixels of .*expected square pixels.*Way out"):
        read_header(tmp_path / name)


DEEP_PALETTE = {"photometric": "palette", "colormap": np.zeros((3, 2**16), np.uint16)}


@pytest.mark.parametrize(
    ("found", "array", "keys"),
    [
        ("numbers of colours in a palette, not of 8 bits", GREY.astype(np.uint16), DEEP_PALETTE),
        ("white as 0 and black as 255", GREY, {"photometric": "miniswhite"}),
        ("YCbCr colours that are not compressed as JPEG", RGB, {"photometric": "ycbcr"}),
        ("YCbCr colours that are not", RGB, {"photometric": "ycbcr", "compression": "zlib"}),
        ("CMYK colours", np.dstack([RGB, GREY]), {"photometric": "separated"}),
        ("CIE L", RGB, {"photometric": "cielab"}),
        ("orientation 6", GREY, {"extratags": [(274, 3, 1, 6, True)]}),
        ("transparency in 2", np.dstack([RGB, GREY, GREY]), {"photometric": "rgb", "extrasamples": [2, 2]}),
        ("transparency in 1", RGB[..., :2] / np.float32(9), {"photometric": "minisblack", "extrasamples": [2]}),
        ("4 bits a sample", GREY % 16, {"bitspersample": 4, "compression": "packints"}),
    ],
)
def test_values_that_mean_something_else_are_refused(tmp_path, found, array, keys):
    if keys.get("bitspersample") == 4:
        write_four_bits(tmp_path / "a.tif", array)
    else:
        tifffile.imwrite(tmp_path / "a.tif", array, **keys)
    with pytest.raises(ImageError, match=rf"a.tif: found {found}.*Way out"):
        read_header(tmp_path / "a.tif")


def write_four_bits(path, array):
    """Two samples a byte: no writer at hand does so, so the tag of a file of half the width is changed."""
    packed = (array[:, 0::2] << 4 | array[:, 1::2]).astype(np.uint8)
    tifffile.imwrite(path, packed, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(array.shape[1])
        tiff.pages[0].tags["BitsPerSample"].overwrite(4)


def test_jpeg_compressed_colours_are_decoded(tmp_path):
    """One tile as slide scanners write it; Pillow's JPEG holds YCbCr."""
    tile = io.BytesIO()
    Image.fromarray(RGB).save(tile, "JPEG", subsampling=0)
    facts = {"shape": RGB.shape, "dtype": RGB.dtype, "tile": RGB.shape[:2], "photometric": "ycbcr"}
    tifffile.imwrite(tmp_path / "a.tif", iter([tile.getvalue()]), compression="jpeg", **facts)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].photometric.name == "YCBCR"
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_allclose(image.read(0, 20, 21, 20, 21)[0, 0], (190, 95, 63), atol=3)


def test_a_thumbnail_first_is_named_with_the_larger_image(tmp_path):
    with tifffile.TiffWriter(tmp_path / "pages.tif") as tiff:
        tiff.write(GREY[::4, ::4], metadata=None)
        tiff.write(GREY, metadata=None)
    with tifffile.TiffWriter(tmp_path / "macro.ome.tif", ome=True) as tiff:
        tiff.write(GREY[::4, ::4], metadata={"axes": "YX", "Name": "macro"})
        tiff.write(GREY, metadata={"axes": "YX", "Name": "scan"})
    for name, found in (("pages.tif", r"image 2 \(48 x 32 px\)"), ("macro.ome.tif", r"image 2 \(48 x 32 px\), scan,")):
        with pytest.raises(ImageError, match=rf"{name}: found {found} larger than image 1 \(12 x 8 px\).*Way out"):
            read_header(tmp_path / name)


def test_a_thumbnail_behind_the_section_does_not_matter(tmp_path):
    with tifffile.TiffWriter(tmp_path / "pages.tif") as tiff:
        tiff.write(GREY, metadata=None)
        tiff.write(GREY[::4, ::4], metadata=None)
    assert read_header(tmp_path / "pages.tif").shape == (32, 48)


def test_metadata_in_another_file_are_named(tmp_path):
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="x.companion.ome" UUID="urn:uuid:a"/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, description=xml, metadata=None)
    with pytest.raises(ImageError, match=r"metadata are in x\.companion\.ome"):
        read_header(tmp_path / "a.ome.tif")
