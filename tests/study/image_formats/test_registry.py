import io
import json
import re

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cytomesh.core.errors import ImageError, PluginError
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.reader import ImageHeader, ImageLevel, ImageReader
from cytomesh.study.image_formats.registry import IMAGE_READERS, check_pixels, read_header


def pixels_of(path):
    """All of an image, (h, w, n_channels)."""
    with open_image(path) as image:
        return image.read(0, 0, image.shape[0], 0, image.shape[1])


NOISE = np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)


def write(path):
    """An image in the format that the name says; noise, so that every part of the file counts."""
    if path.name == "pyramid.tif":
        with tifffile.TiffWriter(path) as tiff:
            tiff.write(NOISE, subifds=2, tile=(64, 64), compression="zlib")
            tiff.write(NOISE[::2, ::2], subfiletype=1, tile=(64, 64), compression="zlib")
            tiff.write(NOISE[::4, ::4], subfiletype=1, tile=(64, 64), compression="zlib")
    elif path.suffix == ".tif":
        tifffile.imwrite(path, NOISE, **({"compression": "zlib", "tile": (64, 64)} if path.stem == "tiles" else {}))
    elif path.suffix == ".zarr":
        write_ome_zarr(path, NOISE, 20.0)
    else:
        Image.fromarray(NOISE).save(path, progressive=path.stem == "progressive")


FORMATS = ("a.png", "a.jpg", "progressive.jpg", "strip.tif", "tiles.tif", "pyramid.tif")


@pytest.mark.parametrize("name", [*FORMATS, "a.zarr"])
def test_whole_images_pass(tmp_path, name):
    write(tmp_path / name)
    check_pixels(read_header(tmp_path / name))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", FORMATS)
def test_images_cut_off_are_named(tmp_path, name, share):
    write(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(ImageError, match=rf"{name}: found .*Way out"):
        check_pixels(read_header(tmp_path / name))


def test_a_changed_byte_of_a_png_is_found(tmp_path):
    write(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match=r"a.png: found an image that is damaged"):
        check_pixels(read_header(tmp_path / "a.png"))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_lost_chunks_are_named_by_the_check_and_never_read_as_black(tmp_path, zarr_format):
    path = tmp_path / "a.zarr"
    group = zarr.create_group(store=str(path), zarr_format=zarr_format)
    group.create_array("0", data=NOISE, chunks=(100, 100))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scales = {"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}
    group.attrs.update({"multiscales": [scales]} if zarr_format == 2 else {"ome": {"multiscales": [scales]}})
    check_pixels(read_header(path))
    name = "1.3" if zarr_format == 2 else "c/1/3"
    (path / "0" / name).unlink()
    message = rf"a.zarr: found 1 of 12 chunks not stored at level 0 \({re.escape(name)}\).*write_empty_chunks"
    with pytest.raises(ImageError, match=message):
        check_pixels(read_header(path))
    with open_image(path, cache_bytes=0) as image:
        np.testing.assert_array_equal(image.read(0, 0, 100, 0, 400)[..., 0], NOISE[:100])
        np.testing.assert_array_equal(image.read(0, 100, 300, 0, 300)[..., 0], NOISE[100:, :300])
        with pytest.raises(ImageError, match="1 of 1 chunks not stored"):
            image.read(0, 50, 150, 250, 350)


def test_black_parts_of_own_images_are_stored(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", np.zeros((600, 600), np.uint8), 20.0)
    check_pixels(read_header(tmp_path / "a.zarr"))


@pytest.mark.parametrize(
    ("mode", "colours", "expected"),
    [
        ("RGBA", ((0, 0, 0, 0), (190, 95, 63, 255), (0, 0, 0, 128)), ((255,) * 3, (190, 95, 63), (127,) * 3)),
        ("LA", ((0, 0), (190, 255), (0, 128)), ((255,), (190,), (127,))),
    ],
)
def test_transparent_pixels_are_background(tmp_path, mode, colours, expected):
    image = Image.new(mode, (3, 1))
    for column, colour in enumerate(colours):
        image.putpixel((column, 0), colour)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "a.png")[0], expected)
    assert read_header(tmp_path / "a.png").alpha == "straight"


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_colour_declared_transparent_is_background(tmp_path, mode):
    """PNG's tRNS chunk: black stands for nothing there."""
    image = Image.new("L", (2, 1), 0)
    image.putpixel((1, 0), 255 if mode == "1" else 190)
    image.convert(mode).save(tmp_path / "a.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert read_header(tmp_path / "a.png").alpha == "straight"
    pixels = pixels_of(tmp_path / "a.png")
    assert pixels[0, :, 0].tolist() == [255, 255 if mode == "1" else 190]


def test_bits_of_grey_become_full_levels(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    assert pixels_of(tmp_path / "a.png").ravel().tolist() == [0, 255]


def test_a_huge_declared_shape_is_named_at_once(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", NOISE, 20.0, n_levels=1)
    path = tmp_path / "a.zarr" / "0" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shape": [300 * 10**9, 400 * 10**9]}))
    with pytest.raises(ImageError, match=r"[\d,]{20,} of [\d,]{20,} chunks not stored at level 0 \(.*, \.\.\.\)"):
        check_pixels(read_header(tmp_path / "a.zarr"))


def added(monkeypatch, name, **parts):
    """Let a reader of another package read `.mine` files: an array of NOISE's shape unless `parts` say otherwise."""
    parts = {
        "suffixes": (".mine",),
        "read_header": classmethod(lambda _, path: ImageHeader(path, 1, (ImageLevel("0", NOISE.shape),))),
        "decode": lambda _, __, rows, columns: NOISE[rows, columns, None],
        **parts,
    }
    monkeypatch.setitem(IMAGE_READERS._loaded, name, type("Added", (ImageReader,), parts))
    monkeypatch.setitem(IMAGE_READERS._entries(), name, None)


@pytest.mark.parametrize(
    ("decode", "found"),
    [
        (lambda rows, columns: np.repeat(NOISE[rows, columns, None], 3, axis=2), r"uint8 of \(1, 1, 3\)"),
        (lambda rows, columns: NOISE[rows, columns], r"uint8 of \(1, 1\)"),
        (lambda rows, columns: NOISE[rows, columns, None].astype(np.uint16), "uint16"),
        (lambda _, __: NOISE[:299, :, None], r"uint8 of \(299, 400, 1\)"),
        (lambda _, __: None, "NoneType"),
        (lambda _, __: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_pixels_of_another_package_s_reader_are_those_of_its_header_or_refused(tmp_path, monkeypatch, decode, found):
    (tmp_path / "a.mine").touch()
    added(monkeypatch, "mine", decode=lambda _, __, rows, columns: decode(rows, columns))
    with pytest.raises(ImageError, match=rf"a.mine: found .*{found}"):
        check_pixels(read_header(tmp_path / "a.mine"))
    with open_image(tmp_path / "a.mine", cache_bytes=0) as image, pytest.raises(ImageError, match=r"a\.mine"):
        image.read(0, 4, 5, 6, 7)


@pytest.mark.parametrize(
    "header",
    [
        lambda _: None,
        lambda path: ImageHeader(path, 1, ()),
        lambda path: ImageHeader(path, 0, (ImageLevel("0", (8, 8)),)),
        lambda path: ImageHeader(path, 1, (ImageLevel("0", (8, 8)),), dtype="int32"),
        lambda path: ImageHeader(path, 1, (ImageLevel("0", (80, 80)), ImageLevel("1", (40, 40), (4.0, 4.0)))),
    ],
)
def test_headers_that_contradict_themselves_are_refused(tmp_path, monkeypatch, header):
    (tmp_path / "a.mine").touch()
    added(monkeypatch, "mine", read_header=classmethod(lambda _, path: header(path)))
    with pytest.raises(ImageError, match=r"a.mine: found .*mend the package"):
        read_header(tmp_path / "a.mine")


def test_the_longest_suffix_decides_and_two_of_one_are_refused(tmp_path, monkeypatch):
    for name in ("a.mine", "a.other.mine"):
        (tmp_path / name).touch()
    added(monkeypatch, "mine")
    white = np.full((*NOISE.shape, 1), 255, np.uint8)
    added(monkeypatch, "other", suffixes=(".other.mine",), decode=lambda _, __, rows, columns: white[rows, columns])
    with open_image(tmp_path / "a.mine") as plain, open_image(tmp_path / "a.other.mine") as other:
        assert plain.read(0, 0, 1, 0, 1).item() == NOISE[0, 0]
        assert other.read(0, 0, 1, 0, 1).item() == 255
    added(monkeypatch, "third")
    with pytest.raises(PluginError, match=r"readers mine and third of files '\.mine'"):
        read_header(tmp_path / "a.mine")
    (tmp_path / "a.unknown").touch()
    with pytest.raises(ImageError, match=r"or what installed packages read \(\.mine"):
        read_header(tmp_path / "a.unknown")
