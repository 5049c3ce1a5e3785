import json
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_image, open_stored
from cytomesh.study.annotation import read_label_image
from cytomesh.study.image_formats.reader import pyramid_level
from cytomesh.study.image_formats.registry import check_pixels, read_header


def test_plain_images(tmp_path):
    for mode, n_channels in (("L", 1), ("RGB", 3), ("P", 3), ("1", 1)):
        Image.new(mode, (30, 20)).save(tmp_path / "a.png")
        header = read_header(tmp_path / "a.png")
        assert (header.shape, header.n_channels, header.um_per_px) == ((20, 30), n_channels, None)


def test_tiff_pyramid_without_scales_shares_corners(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", bigtiff=True) as tiff:
        full = np.zeros((201, 302), np.uint8)
        tiff.write(full, subifds=2, metadata={"axes": "YX", "PhysicalSizeX": 2.0, "PhysicalSizeXUnit": "µm"})
        tiff.write(full[:200:2, ::2], subfiletype=1)
        tiff.write(full[:200:4, :300:4], subfiletype=1)
    header = read_header(tmp_path / "a.ome.tif")
    assert [level.shape for level in header.levels] == [(201, 302), (100, 151), (50, 75)]
    assert [level.scale for level in header.levels] == [(1, 1), (2, 2), (4, 4)]
    assert header.levels[2].offset == (1.5, 1.5)
    assert header.um_per_px == 2.0


def test_zarr_04_and_05(tmp_path):
    write_ome_zarr(tmp_path / "five.ome.zarr", np.zeros((300, 401, 3), np.uint8), 2.5, n_levels=3)
    header = read_header(tmp_path / "five.ome.zarr")
    assert (header.axes, header.n_channels, header.um_per_px) == ("cyx", 3, 2.5)
    assert [(level.shape, level.offset) for level in header.levels] == [
        ((300, 401), (0, 0)),
        ((150, 201), (0.5, 0.5)),
        ((75, 101), (1.5, 1.5)),
    ]
    write_zarr_04(tmp_path / "four.ome.zarr", np.zeros((1, 1, 1, 64, 80), np.uint8))
    header = read_header(tmp_path / "four.ome.zarr")
    assert (header.axes, header.n_channels, header.shape) == ("tczyx", 1, (64, 80))
    assert header.um_per_px == pytest.approx(1.0)
    assert header.levels[1].offset == (0.5, 0.5)


def write_zarr_04(path, array):
    group = zarr.create_group(store=str(path), zarr_format=2)
    datasets = []
    for level in range(2):
        step = 2**level
        group.create_array(str(level), data=array[..., ::step, ::step])
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, step, step]}]}
        )
    kinds = {"t": "time", "c": "channel"}
    axes = [
        {"name": a, "type": kinds.get(a, "space"), **({} if a in kinds else {"unit": "micrometer"})} for a in "tczyx"
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


@pytest.mark.parametrize(
    ("full", "coarse", "factor"),
    [(2857, 1428, 2), (2857, 1429, 2), (100, 25, 4), (100, 34, 3), (1000, 400, 2.5)],
)
def test_levels_that_state_no_scale(full, coarse, factor):
    level = pyramid_level("1", (coarse, coarse), (full, full))
    assert level.scale == (factor, factor)
    assert level.offset == ((factor - 1) / 2, (factor - 1) / 2)


def test_images_that_cannot_be_used(tmp_path):
    def refuse(path, message):
        with pytest.raises(ImageError, match=message) as caught:
            read_header(path)
        assert caught.value.hint

    refuse(tmp_path / "none.png", "no such image")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing")
    refuse(tmp_path / "bad.png", "cannot be read")
    (tmp_path / "bad.tif").write_bytes(b"II*\x00")
    refuse(tmp_path / "bad.tif", "cannot be read")
    (tmp_path / "a.vsi").write_bytes(b"x")
    refuse(tmp_path / "a.vsi", "unknown image format '.vsi'")
    for dtype in (np.int16, np.uint32, np.float64):
        tifffile.imwrite(tmp_path / "deep.tif", np.zeros((8, 8), dtype))
        refuse(tmp_path / "deep.tif", f"pixels of type {np.dtype(dtype)}, expected uint8, uint16, float32.*save it as")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 8, 8), np.uint8), metadata={"axes": "ZYX"})
    refuse(tmp_path / "stack.tif", "planes: 5 of z, expected one plane")
    (tmp_path / "empty.zarr").mkdir()
    refuse(tmp_path / "empty.zarr", "without zarr.json")
    write_ome_zarr(tmp_path / "a.zarr", np.zeros((8, 8), np.uint8), 1.0)
    (tmp_path / "a.zarr" / "0" / "zarr.json").unlink()
    refuse(tmp_path / "a.zarr", "no array")
    (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps({"attributes": {}}))
    refuse(tmp_path / "a.zarr", "no 'multiscales' metadata")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    refuse(tmp_path / "a.zarr", "cannot be read")


def test_large_plain_images_need_no_setting_of_the_whole_process(tmp_path, monkeypatch):
    """Pillow refuses images of more than twice its limit, which is here lower than any section's size."""
    Image.new("L", (30, 20), 7).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    paths = [tmp_path / "a.png"] * 200
    with ThreadPoolExecutor(8) as threads:
        assert {header.shape for header in threads.map(read_header, paths)} == {(20, 30)}
    assert (read_label_image(tmp_path / "a.png") == 7).all()
    with open_image(tmp_path / "a.png") as image:
        assert (image.read(0, 0, 20, 0, 30) == 7).all()
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")


def test_importing_leaves_pillow_alone():
    code = "from PIL import Image; n = Image.MAX_IMAGE_PIXELS; import cytomesh.imaging.pyramid; "
    code += "assert Image.MAX_IMAGE_PIXELS == n"
    subprocess.run([sys.executable, "-c", code], check=True)


def write_png(path, bits, colour, samples, width=4, height=2, chunks=()):
    """A PNG, byte by byte: Pillow writes no 16-bit colours and no impossible sizes."""
    row = b"\0" + struct.pack(f">{samples * width}{'H' if bits == 16 else 'B'}", *[1000 % 2**bits] * samples * width)
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    for name, body in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(row * height)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(data)


@pytest.mark.parametrize(("colour", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_keeps_its_low_bytes_whatever_its_colours(tmp_path, colour, samples):
    write_png(tmp_path / "a.png", 8, colour, samples)
    assert read_header(tmp_path / "a.png").dtype == "uint8"
    write_png(tmp_path / "a.png", 16, colour, samples)
    header = read_header(tmp_path / "a.png")
    assert (header.dtype, header.n_channels) == ("uint16", 1 if samples < 3 else 3)
    check_pixels(header)
    # alpha is 1000 of 65535 as well, on white
    expected = 1000 if samples in (1, 3) else round((1000 * 1000 + 65535 * 64535) / 65535)
    with open_stored(tmp_path / "a.png") as image:
        assert (image.read(0, 0, 2, 0, 4) == expected).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_images_to_be_turned_for_display_are_refused(tmp_path, name):
    exif = Image.Exif()
    for orientation in (1, 6):
        exif[0x0112] = orientation
        Image.new("L", (12, 16)).save(tmp_path / name, exif=exif)
        if orientation == 1:
            assert read_header(tmp_path / name).shape == (16, 12)
    with pytest.raises(ImageError, match=rf"{name}: found orientation 6.*Way out: turn the pixels"):
        read_header(tmp_path / name)


def test_cmyk_jpeg_is_refused(tmp_path):
    Image.new("CMYK", (12, 16)).save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"a.jpg: found colours of kind CMYK, expected grey or RGB"):
        read_header(tmp_path / "a.jpg")


def write_levels(path, scales, unit="micrometer", common=None, version="0.4", axes=None):
    group = zarr.create_group(store=str(path), zarr_format=2)
    datasets = []
    for level, scale in enumerate(scales):
        group.create_array(str(level), data=np.ones((64 >> level, 80 >> level), np.uint8))
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    own = [{"name": name, "type": "space"} | ({"unit": unit} if unit else {}) for name in "yx"]
    image = {"version": version, "axes": own if axes is None else axes, "datasets": datasets}
    group.attrs["multiscales"] = [image | ({"coordinateTransformations": common} if common else {})]


@pytest.mark.parametrize(
    ("unit", "um"),
    [("\u00b5m", 50), ("\u03bcm", 50), ("um", 50), ("micron", 50), ("millimetre", 50e3), ("pixel", None), (None, None)],
)
def test_units_of_zarr(tmp_path, unit, um):
    write_levels(tmp_path / "a.zarr", [[50, 50], [100, 100]], unit)
    assert read_header(tmp_path / "a.zarr").um_per_px == um


def test_scales_of_zarr_for_all_levels_are_applied_behind_those_of_each(tmp_path):
    common = [{"type": "scale", "scale": [100, 100]}, {"type": "translation", "translation": [3000, 4000]}]
    write_levels(tmp_path / "a.zarr", [[1, 1], [2, 2]], common=common)
    header = read_header(tmp_path / "a.zarr")
    assert header.um_per_px == 100
    assert (header.levels[1].scale, header.levels[1].offset) == ((2, 2), (0.5, 0.5))


def test_zarr_that_is_not_square_or_too_old_is_refused(tmp_path):
    write_levels(tmp_path / "tall.zarr", [[200, 100], [400, 200]])
    with pytest.raises(ImageError, match=r"tall.zarr: found pixels of 100 x 200 um.*expected square pixels.*Way out"):
        read_header(tmp_path / "tall.zarr")
    write_levels(tmp_path / "old.zarr", [[1, 1]], version="0.3", axes=["y", "x"])
    with pytest.raises(ImageError, match=r"old.zarr: found OME-Zarr 0.3, expected OME-Zarr 0.4 or 0.5.*Way out"):
        read_header(tmp_path / "old.zarr")


def test_other_formats_are_never_opened_under_the_name_of_a_png(tmp_path):
    """Pillow hands PostScript to Ghostscript."""
    box = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_text(box)
    Image.new("L", (4, 4)).save(tmp_path / "b.png", format="BMP")
    for name in ("a.png", "b.png"):
        with pytest.raises(ImageError, match=rf"{name}: found an image that cannot be read"):
            read_header(tmp_path / name)


def test_only_regular_files_and_folders_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    expected = {
        "pipe.png": "found a pipe, socket or device",
        "device.png": "found a pipe, socket or device",
        "loop.png": r"no such image \(Too many levels of symbolic links\)",
        "folder.png": "a folder without zarr.json",
        "nul\0.png": r"no such image \(embedded null byte\)",
        f"{'x' * 300}.png": r"no such image \(File name too long\)",
    }
    for name, message in expected.items():
        with pytest.raises(ImageError, match=f"{message}.*Way out"):
            read_header(tmp_path / name)


def test_sizes_are_checked_before_anything_is_allocated(tmp_path):
    write_png(tmp_path / "vast.png", 8, 0, 1, width=4, height=2)
    data = bytearray((tmp_path / "vast.png").read_bytes())
    data[16:24] = struct.pack(">II", 2**20, 2**20)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "vast.png").write_bytes(data)
    write_levels(tmp_path / "vast.zarr", [[1, 1]])
    facts = json.loads((tmp_path / "vast.zarr" / "0" / ".zarray").read_text())
    (tmp_path / "vast.zarr" / "0" / ".zarray").write_text(json.dumps(facts | {"chunks": [2**20, 2**20]}))
    tifffile.imwrite(tmp_path / "vast.tif", np.zeros((16, 16), np.uint8))
    with tifffile.TiffFile(tmp_path / "vast.tif", mode="r+b") as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[name].overwrite(2**20)
    for name in ("vast.png", "vast.zarr", "vast.tif"):
        with pytest.raises(ImageError, match=rf"{name}: found .*{2**40} px to decode at once, expected 1 to .*Way out"):
            read_header(tmp_path / name)


def test_tags_and_tiles_beyond_the_end_of_a_tiff_are_named(tmp_path):
    """The XML of an OME-TIFF, with its pixel size, often stands at the end."""
    path = tmp_path / "a.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    tifffile.imwrite(path, pixels, tile=(32, 32), metadata={"axes": "YX", "PhysicalSizeX": 9.0, "PhysicalSizeY": 9.0})
    assert read_header(path).um_per_px == 9.0
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].tags["ImageWidth"].valueoffset
    path.write_bytes(content[:offset] + (2**20 + 64).to_bytes(4, "little") + content[offset + 4 :])
    with pytest.raises(ImageError, match="found 4 tiles or strips in the file, expected the 65540 of its size"):
        read_header(path)
    # the tag's value is written behind the pixels where it has grown
    path.write_bytes(content)
    tifffile.tiffcomment(path, tifffile.tiffcomment(path) + " " * 300)
    assert read_header(path).um_per_px == 9.0
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageError, match="a file cut off"):
        read_header(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_plain_images_that_cannot_be_in_their_file(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    if name == "a.png":
        content[16:24] = struct.pack(">II", 40_000, 50_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        at = content.index(b"\xff\xc0")
        content[at + 5 : at + 9] = struct.pack(">HH", 40_000, 50_000)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"found \d+ x \d+ px in [\d,]+ bytes, expected a whole image"):
        read_header(path)
