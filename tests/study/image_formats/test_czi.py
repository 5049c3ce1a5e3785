"""CZI files, written and read by libCZI itself."""

import re
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pylibCZIrw import czi

from cytomesh.core.errors import ImageError, PackageError
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.halving import halve
from cytomesh.imaging.pyramid import open_image, open_stored
from cytomesh.study.image_formats.part import ImagePart
from cytomesh.study.image_formats.registry import check_pixels, read_header
from cytomesh.study.pixels import ImageSettings

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (300, 400, 1), np.uint8)
DEEP = RANDOM.integers(0, 4096, (300, 400, 1), np.uint16)


def write_czi(path, tiles, um=(0.5, 0.5), names=None):
    """Write a CZI of tiles: (pixels, place, plane, scene)."""
    with czi.create_czi(str(path), exist_ok=True) as image:
        for pixels, place, plane, scene in tiles:
            image.write(pixels, location=place, plane=plane, scene=scene)
        sizes = {"scale_x": um[0] / 1e6, "scale_y": um[1] / 1e6}
        image.write_metadata("a", channel_names=names or {}, **sizes)


def stored(path):
    with open_stored(path, cache_bytes=0) as image:
        return image.read(0, 0, image.shape[0], 0, image.shape[1])


COLOURS = np.dstack([GREY, GREY // 2, 255 - GREY])


@pytest.mark.parametrize("pixels", [GREY, DEEP, (DEEP / 7).astype(np.float32), COLOURS])
def test_pixels_are_those_that_were_written(tmp_path, pixels):
    write_czi(tmp_path / "a.czi", [(pixels, (50, -60), {}, 0)])
    header = read_header(tmp_path / "a.czi")
    assert (header.shape, header.n_channels, header.dtype) == (pixels.shape[:2], pixels.shape[2], pixels.dtype)
    assert header.um_per_px == pytest.approx(0.5)
    check_pixels(header)
    rgb = pixels[..., ::-1]  # libCZI takes colours as blue, green, red
    np.testing.assert_array_equal(stored(tmp_path / "a.czi"), rgb)
    with open_stored(tmp_path / "a.czi", cache_bytes=0) as image:
        np.testing.assert_array_equal(image.read(0, 20, 61, 30, 31), rgb[20:61, 30:31])
        np.testing.assert_array_equal(image.read(1, 0, 150, 0, 200), halve(np.ascontiguousarray(rgb)))
        assert image.read(0, 20, 20, 30, 31).shape == (0, 1, pixels.shape[2])


def test_windows_are_read_by_several_threads(tmp_path):
    write_czi(tmp_path / "a.czi", [(COLOURS, (0, 0), {}, 0)])
    with open_stored(tmp_path / "a.czi", cache_bytes=0) as image, ThreadPoolExecutor(4) as threads:
        windows = threads.map(lambda row: image.read(0, row, row + 40, 40, 240), range(0, 250, 5))
        for row, window in zip(range(0, 250, 5), windows, strict=True):
            np.testing.assert_array_equal(window, COLOURS[row : row + 40, 40:240, ::-1])


def test_what_no_tile_covers_is_white(tmp_path):
    write_czi(tmp_path / "a.czi", [(GREY, (0, 0), {}, 0), (GREY, (500, 0), {}, 0)])
    pixels = stored(tmp_path / "a.czi")
    assert pixels.shape == (300, 900, 1)
    np.testing.assert_array_equal(pixels[:, 500:], GREY)
    assert (pixels[:, 400:500] == 255).all()


def write_two_channels(path):
    write_czi(path, [(DEEP, (0, 0), {"C": 0}, 0), (DEEP // 2, (0, 0), {"C": 1}, 0)], names={0: "DAPI", 1: "NeuN"})


def test_one_of_several_channels_is_taken_by_name_or_number(tmp_path):
    write_two_channels(tmp_path / "a.czi")
    assert read_header(tmp_path / "a.czi").channel_names == ("DAPI", "NeuN")
    for channels in ("NeuN", 1):
        with open_image(tmp_path / "a.czi", settings=ImageSettings(channels=channels, window=(0, 2048))) as image:
            expected = np.clip(np.rint((DEEP // 2) * (255 / 2048)), 0, 255)
            np.testing.assert_array_equal(image.read(0, 0, 300, 0, 400), expected)
    with pytest.raises(ImageError, match=r"a\.czi: found 2 channels, and none named.*one of 0 \(DAPI\), 1 \(NeuN\)"):
        open_image(tmp_path / "a.czi", settings=ImageSettings(window=(0, 2048)))


def test_channels_and_their_names_are_converted(tmp_path):
    write_two_channels(tmp_path / "a.czi")
    assert convert_image(tmp_path / "a.czi", tmp_path / "a.ome.zarr")
    header = read_header(tmp_path / "a.ome.zarr")
    assert (header.dtype, header.channel_names, header.um_per_px) == ("uint16", ("DAPI", "NeuN"), pytest.approx(0.5))
    np.testing.assert_array_equal(stored(tmp_path / "a.ome.zarr"), np.dstack([DEEP, DEEP // 2]))


@pytest.mark.parametrize(
    ("tiles", "found"),
    [
        (
            [(GREY, (0, 0), {}, 0), (GREY, (900, 0), {}, 1)],
            r"scenes 0 \(400 x 300 px\), 1 \(400 x 300 px\)",
        ),
        ([(GREY, (0, 0), {"Z": 0}, 0), (GREY, (0, 0), {"Z": 1}, 0)], "planes: 2 of z, expected one plane"),
        ([(GREY, (0, 0), {"C": 0}, 0), (DEEP, (0, 0), {"C": 1}, 0)], "channels of Gray8, Gray16"),
    ],
)
def test_several_scenes_planes_or_types_are_listed(tmp_path, tiles, found):
    write_czi(tmp_path / "a.czi", tiles)
    with pytest.raises(ImageError, match=rf"a\.czi: found {found}.*Way out") as caught:
        read_header(tmp_path / "a.czi")
    if "scenes" in found:
        assert "the column scene of the section table, or by --scene" in caught.value.hint


def test_one_of_several_scenes_is_copied_by_its_number(tmp_path, cytomesh):
    """The boxes overlap, as those of sections side by side on one glass may: no tile of another scene is seen."""
    other = 255 - GREY
    write_czi(tmp_path / "a.czi", [(GREY, (0, 0), {}, 0), (other, (350, 100), {}, 1), (other, (750, 500), {}, 1)])
    header = read_header(tmp_path / "a.czi", ImagePart(scene=1))
    assert (header.shape, header.part.scene) == ((700, 800), 1)
    check_pixels(header)
    with open_stored(tmp_path / "a.czi", cache_bytes=0, part=ImagePart(scene=1)) as image:
        pixels = image.read(0, 0, 700, 0, 800)
    np.testing.assert_array_equal(pixels[:300, :400], other)
    assert (pixels[300:400] == 255).all()
    for scene, expected in ((1, pixels), (0, GREY)):
        target = tmp_path / f"{scene}.ome.zarr"
        code, _, said = cytomesh("images", "convert", tmp_path / "a.czi", "--scene", scene, "--out", target)
        assert code == 0, said
        np.testing.assert_array_equal(stored(target), expected)
    assert not convert_image(tmp_path / "a.czi", tmp_path / "1.ome.zarr", part=ImagePart(scene=1))
    assert convert_image(
        tmp_path / "a.czi", tmp_path / "1.ome.zarr", part=ImagePart(scene=0)
    )  # another scene is another image
    code, out, _ = cytomesh("images", "info", tmp_path / "a.czi", "--scene", 1)
    assert code == 0 and "800" in out
    with pytest.raises(
        ImageError, match=r"a\.czi: found no scene 2, expected one of 0 \(400 x 300 px\), 1 \(800 x 700 px\)"
    ):
        read_header(tmp_path / "a.czi", ImagePart(scene=2))
    with pytest.raises(ImageError, match="scene 0 asked for, expected none"):
        read_header(tmp_path / "0.ome.zarr", ImagePart(scene=0))


def test_pixel_sizes_that_are_absent_or_not_square(tmp_path):
    write_czi(tmp_path / "a.czi", [(GREY, (0, 0), {}, 0)], um=(0, 0))
    assert read_header(tmp_path / "a.czi").um_per_px is None
    write_czi(tmp_path / "b.czi", [(GREY, (0, 0), {}, 0)], um=(0.5, 1.0))
    with pytest.raises(ImageError, match=r"b\.czi: found pixels of 0\.5 x 1 um"):
        read_header(tmp_path / "b.czi")


@pytest.mark.parametrize("factor", [2, 3])
def test_stored_layers_are_levels(tmp_path, factor):
    """libCZI writes none: a tile of level 0 is declared one of a coarser layer, as Zeiss's programs do."""
    path = tmp_path / "a.czi"
    small = RANDOM.integers(0, 256, (96, 120, 1), np.uint8)
    full = RANDOM.integers(0, 256, (96 * factor, 120 * factor, 1), np.uint8)
    write_czi(path, [(full, (0, 0), {}, 0), (small, (0, 0), {}, 0)])
    content = path.read_bytes()
    for name, n in ((b"X", 120), (b"Y", 96)):
        # an entry of a tile's dimensions: name, start, size, start as float, stored size
        entry = struct.pack("<4sii", name, 0, n)
        assert content.count(entry) == 2  # in the tile, and in the directory
        content = content.replace(entry, struct.pack("<4sii", name, 0, n * factor))
    path.write_bytes(content)
    header = read_header(path)
    assert [(level.shape, level.scale) for level in header.levels] == [
        (full.shape[:2], (1, 1)),
        (small.shape[:2], (factor, factor)),
    ]
    with open_stored(path, cache_bytes=0) as image:
        np.testing.assert_array_equal(image.read(0, 0, 96 * factor, 0, 120 * factor), full)
        np.testing.assert_array_equal(image.read(1, 0, 96, 0, 120), small)
        np.testing.assert_array_equal(image.read(1, 11, 50, 17, 90), small[11:50, 17:90])


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_files_cut_off_are_named(tmp_path, share):
    write_czi(tmp_path / "a.czi", [(GREY, (0, 0), {}, 0)])
    content = (tmp_path / "a.czi").read_bytes()
    (tmp_path / "a.czi").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match=r"a\.czi: found .*Way out"):
        check_pixels(read_header(tmp_path / "a.czi"))


def test_a_header_that_lies_is_named(tmp_path):
    """A tile that is said to be 2^20 px wide: nothing is allocated for it."""
    write_czi(tmp_path / "a.czi", [(GREY, (0, 0), {}, 0)])
    content = (tmp_path / "a.czi").read_bytes()
    lie = re.sub(rb"([XY]\0\0\0\0\0\0\0)....(....)....", lambda m: m[1] + b"\0\0\x10\0" + m[2] + b"\0\0\x10\0", content)
    assert lie != content
    (tmp_path / "a.czi").write_bytes(lie)
    with pytest.raises(ImageError, match=r"a\.czi: found .*px to decode at once.*Way out"):
        read_header(tmp_path / "a.czi")


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    write_czi(tmp_path / "a.czi", [(GREY, (0, 0), {}, 0)])
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    monkeypatch.setitem(sys.modules, "pylibCZIrw.czi", None)
    with pytest.raises(PackageError, match=r"pylibCZIrw: found a package.*pip install 'cytomesh\[czi\]'"):
        read_header(tmp_path / "a.czi")
