"""What becomes of stored pixels: compared, value by value, with the sentences of the manifest's documentation."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from pydantic import ValidationError
from skimage.color import combine_stains, hed_from_rgb, rgb_from_hed, separate_stains

from cytomesh.core.errors import ImageError, StudyError
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.pyramid import open_image, open_stored
from cytomesh.study.image_formats.reader import ImageHeader, ImageLevel
from cytomesh.study.image_formats.registry import check_pixels, read_header
from cytomesh.study.manifest import read_manifest
from cytomesh.study.pixels import BAND_PX, STAINS, ImageSettings, PixelView, n_seen, propose_window
from cytomesh.study.study import open_study

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (40, 50, 3), np.uint8)


def header(n_channels, dtype="uint8", names=()):
    return ImageHeader("a.tif", n_channels, (ImageLevel("0", (40, 50)),), dtype=dtype, channel_names=names)


def seen(stored, names=(), **settings):
    view = PixelView(header(stored.shape[2], stored.dtype.name, names), ImageSettings(**settings))
    pixels = view(stored[..., view.channels])
    assert pixels.dtype == np.uint8 and pixels.shape == (*stored.shape[:2], view.n_channels)
    return pixels


def by_hand(value, low, high):
    """The window, one pixel at a time."""
    return round(min(max((float(value) - low) * 255 / (high - low), 0.0), 255.0))


@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_without_settings_are_the_same_bytes_and_no_copy(channels):
    stored = RGB[..., :channels]
    assert np.shares_memory(seen(stored), stored)
    np.testing.assert_array_equal(seen(stored), stored)


@pytest.mark.parametrize(("dtype", "window"), [("uint8", (10, 245)), ("uint16", (130, 4001)), ("float32", (-0.7, 0.5))])
def test_a_window_is_linear_clipped_and_rounded(dtype, window):
    stored = RANDOM.normal(size=(40, 50, 1)).astype(np.float32)
    if dtype != "float32":
        stored = (2000 * np.abs(stored) if dtype == "uint16" else 100 * np.abs(stored)).astype(dtype)
    expected = [by_hand(value, *window) for value in stored.ravel()]
    off = np.abs(seen(stored, window=window).ravel().astype(int) - expected)
    assert off.max() <= 1 and (off > 0).mean() < 0.001  # halves may go either way in single precision
    assert {0, 255} <= set(expected)


def test_twelve_bits_in_sixteen_are_a_window():
    stored = np.array([[[0], [2048], [4095], [5000]]], np.uint16)
    assert seen(stored, window=(0, 4095)).ravel().tolist() == [0, 128, 255, 255]


def test_a_channel_by_number_or_name():
    stored = np.dstack([RGB, RGB[..., :2] // 2])
    names = ("DAPI", "NeuN", "rgb", "3", "GFP")
    for channels, i in ((0, 0), (3, 3), ("NeuN", 1), ("rgb", 2), ("3", 3), ("GFP", 4)):
        np.testing.assert_array_equal(seen(stored, names, channels=channels)[..., 0], stored[..., i])
    np.testing.assert_array_equal(seen(RGB, channels=2)[..., 0], RGB[..., 2])


def test_luminance_and_windows_of_colours():
    deep = RGB.astype(np.uint16) * 16
    expected = np.rint(RGB @ [0.299, 0.587, 0.114])
    for stored, settings in ((RGB, {}), (deep, {"window": (0, 4080)})):
        off = np.abs(seen(stored, channels="luminance", **settings)[..., 0] - expected)
        assert off.max() <= 1 and (off > 0).mean() < 0.01
    np.testing.assert_array_equal(seen(deep, channels="rgb", window=(0, 4080)), RGB)


@pytest.mark.parametrize("stain", STAINS)
def test_a_stain_is_the_light_that_it_alone_lets_through(stain):
    """scikit-image takes the stains apart; mixed again to pure stains, one absorbs along its own colour only."""
    amounts = separate_stains(RGB / 255, hed_from_rgb)
    index = STAINS.index(stain)
    expected = np.rint(255 * np.exp(np.log(1e-6) * amounts[..., index]))
    off = np.abs(seen(RGB, channels=stain)[..., 0] - expected)
    assert off.max() <= 1 and (off > 0).mean() < 0.01
    # painted with this stain alone, it gets darker; with another, it stays white
    for other, paint in enumerate(STAINS):
        drop = np.zeros((1, 1, 3))
        drop[..., other] = 0.08
        pixel = np.rint(255 * combine_stains(drop, rgb_from_hed)).astype(np.uint8)
        value = int(seen(pixel, channels=stain).item())
        assert value < 120 if paint == stain else value > 235
    assert (seen(np.full((2, 2, 3), 255, np.uint8), channels=stain) == 255).all()


@pytest.mark.parametrize("n", [2, 3])
def test_own_stains_are_told_apart(n):
    """Light through known amounts of stains (Beer and Lambert): each is seen as if it were alone, others as nothing."""
    vectors = {"cresyl": (0.66, 0.72, 0.20), "luxol": (1.62, 1.10, 0.40), "dab": (0.27, 0.57, 0.78)}
    vectors = dict(list(vectors.items())[:n])
    unit = np.array(list(vectors.values()))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    amounts = RANDOM.uniform(0, 0.6, (30, 40, n))  # of a stain that lets a tenth through at 1
    stored = np.rint(65535 * 10.0 ** -(amounts @ unit)).astype(np.uint16)
    for i, name in enumerate(vectors):
        expected = 255 * 10.0 ** -amounts[..., i]
        pixels = seen(stored, channels=name, stain_vectors=vectors, window=(0, 65535))
        np.testing.assert_allclose(pixels[..., 0], expected, atol=1)


def test_own_stains_replace_those_three_and_are_part_of_what_is_recorded():
    vectors = {"hematoxylin": [0.65, 0.70, 0.29], "rest": [0.27, 0.57, 0.78]}
    settings = ImageSettings(channels="rest", stain_vectors=vectors)
    assert json.loads(json.dumps(settings.facts)) == {"channels": "rest", "stain_vectors": vectors}
    assert hash(settings) == hash(ImageSettings(**settings.facts)) and settings == ImageSettings(**settings.facts)
    with pytest.raises(ImageError, match=r"no channel 'eosin' among 3.* hematoxylin, rest$"):
        seen(RGB, channels="eosin", stain_vectors=vectors)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({"a": [1, 0, 0]}, "1 stains: give the vectors of two or three"),
        ({"a": [1, 0, 0], "b": [0, 0, 0]}, "a vector of zeros"),
        ({"a": [1, 0, 0], "b": [0, np.nan, 0]}, "finite number"),
        ({"a": [1, 1, 0], "b": [0, 1, 1], "c": [1.001, 2, 1]}, "nearly the same colour"),
        ({"a": [1, 1, 0], "b": [2, 2, 0]}, "nearly the same colour"),
        ({"rgb": [1, 0, 0], "b": [0, 1, 0]}, "rgb is no name"),
        ({"a": [1, 0], "b": [0, 1, 0]}, "Field required"),
    ],
)
def test_stain_vectors_that_cannot_be_told_apart(vectors, message):
    with pytest.raises(ValidationError, match=message):
        ImageSettings(channels="a", stain_vectors=vectors)


def test_large_windows_are_seen_in_bands():
    stored = np.arange(3 * BAND_PX // 2, dtype=np.uint32).astype(np.uint16).reshape(-1, 1024, 1)
    np.testing.assert_array_equal(seen(stored, window=(0, 65535))[-1, -1], by_hand(stored[-1, -1, 0], 0, 65535))
    np.testing.assert_array_equal(seen(stored, window=(0, 65535))[:5], seen(stored[:5], window=(0, 65535)))


@pytest.mark.parametrize(
    ("stored", "settings", "message"),
    [
        (header(2), {}, r"found 2 channels, and none named, expected image.channels .* one of 0, 1$"),
        (header(3, "uint16"), {"window": (0, 9)}, r"3 channels, and none named.*0, 1, 2, rgb, luminance, hematoxylin"),
        (header(2, names=("DAPI", "NeuN")), {"channels": "NeuM"}, r"no channel 'NeuM' among 2.*0 \(DAPI\), 1 \(NeuN\)"),
        (header(3), {"channels": 3}, "no channel 3 among 3"),
        (header(1), {"channels": "rgb"}, "no channel 'rgb' among 1"),
        (header(4), {"channels": "eosin"}, "no channel 'eosin' among 4"),
        (
            header(1),
            {"window": (0, 4095)},
            r"image.window \[0, 4095\] for uint8.*within 0 to 255.*8-bit images need no",
        ),
        (header(1, "uint16"), {"window": (-5, 4095)}, "a window within 0 to 65535"),
    ],
)
def test_settings_that_are_not_those_of_the_image_are_named(stored, settings, message):
    with pytest.raises(ImageError, match=message):
        PixelView(stored, ImageSettings(**settings))


@pytest.mark.parametrize("window", [(5, 5), (9, 1), (0, np.inf), (np.nan, 1), (1,)])
def test_windows_that_are_none(window):
    with pytest.raises(ValidationError):
        ImageSettings(window=window)


def test_wrong_settings_of_a_manifest_are_named_with_their_key(study_folder):
    study_folder.change(image={"window": [900, 100], "channel": 1})
    with pytest.raises(StudyError, match=r"(?s)image\.window.*from 900 to 100: give \[low, high\]") as caught:
        read_manifest(study_folder.manifest)
    assert "did you mean 'channels'" in str(caught.value)


def test_none_is_what_a_manifest_without_the_key_says(study_folder):
    without = open_study(study_folder.manifest).brains[0].sections[0].image_settings
    study_folder.change(image={"normalise": "none"})
    assert open_study(study_folder.manifest).brains[0].sections[0].image_settings == without
    study_folder.change(image={"normalise": "stains"})
    with pytest.raises(StudyError, match=r"image\.normalise.*'none', 'background' or 'stain'"):
        read_manifest(study_folder.manifest)


def test_a_brain_s_own_keys_come_before_the_study_s(study_folder):
    study_folder.change(image={"window": [10, 90], "channels": 0})
    assert open_study(study_folder.manifest).brains[0].sections[0].image_settings == ImageSettings(
        window=(10, 90), channels=0
    )
    brain = {"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sub-B01/sections.tsv"}
    for own, expected in (
        ({"window": [0, 50]}, ImageSettings(window=(0, 50), channels=0)),
        ({"window": None}, ImageSettings(channels=0)),
        ({}, ImageSettings(window=(10, 90), channels=0)),
    ):
        study_folder.change(brains=[brain | {"image": own}])
        sections = open_study(study_folder.manifest).brains[0].sections
        assert {section.image_settings for section in sections} == {expected}


def write(path, stored):
    """An image of (h, w, c), in the format of the name."""
    if path.suffix == ".zarr":
        group = zarr.create_group(store=str(path), zarr_format=3)
        group.create_array("0", data=np.moveaxis(stored, 2, 0), chunks=(1, 64, 64), dimension_names=list("cyx"))
        axes = [{"name": name, "type": kind} for name, kind in zip("cyx", ("channel", "space", "space"), strict=True)]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    elif stored.shape[2] == 1:
        tifffile.imwrite(path, stored[..., 0], tile=(64, 64), compression="zlib", byteorder=">")
    else:
        tifffile.imwrite(path, np.moveaxis(stored, 2, 0), tile=(64, 64), metadata={"axes": "CYX"}, ome=True)


@pytest.mark.parametrize(("dtype", "window"), [("uint16", (100, 40000)), ("float32", (-1, 2))])
@pytest.mark.parametrize("n_channels", [1, 5])
def test_tiff_zarr_and_the_copies_of_both_are_seen_alike_at_every_level(tmp_path, dtype, window, n_channels):
    stored = RANDOM.normal(0, 1, (301, 402, n_channels)).astype(np.float32)
    stored = stored if dtype == "float32" else (20000 * np.abs(stored)).clip(0, 65535).astype(np.uint16)
    settings = ImageSettings(window=window, channels=n_channels - 1)
    levels = []
    for name in ("a.tif", "a.zarr"):
        write(tmp_path / name, stored)
        assert (read_header(tmp_path / name).dtype, read_header(tmp_path / name).n_channels) == (dtype, n_channels)
        convert_image(tmp_path / name, tmp_path / f"{name}.ome.zarr", 2.0)
        for path in (tmp_path / name, tmp_path / f"{name}.ome.zarr"):
            check_pixels(read_header(path))
            with open_stored(path) as image:
                np.testing.assert_array_equal(image.read(0, 0, 301, 0, 402), stored)
            for cache_bytes in (0, 1 << 26):
                with open_image(path, cache_bytes, settings) as image:
                    shapes = [level.shape for level in image.levels]
                    levels.append([image.read(i, 0, h, 0, w) for i, (h, w) in enumerate(shapes)])
    assert len(levels[0]) > 1
    for others in levels[1:]:
        for one, other in zip(levels[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    # light is averaged before it is clipped: the mean of four, then the window
    four = stored[10:12, 20:22, -1].astype(np.float64)
    assert abs(int(levels[0][1][5, 10, 0]) - by_hand(four.mean(), *window)) <= 1
    assert n_seen(read_header(tmp_path / "a.tif"), settings) == 1


def test_one_channel_is_read_without_the_others(tmp_path):
    stored = RANDOM.integers(0, 4096, (100, 120, 3), np.uint16)
    write(tmp_path / "a.zarr", stored)
    for chunk in (tmp_path / "a.zarr" / "0" / "c" / "0").rglob("*"):
        if chunk.is_file():
            chunk.unlink()
    with open_image(tmp_path / "a.zarr", 0, ImageSettings(channels=2, window=(0, 4080))) as image:
        np.testing.assert_array_equal(image.read(0, 0, 9, 0, 9)[..., 0], (stored[:9, :9, 2] / 16).round().clip(0, 255))
    with (
        open_image(tmp_path / "a.zarr", 0, ImageSettings(channels=0, window=(0, 4080))) as image,
        pytest.raises(ImageError, match="chunks not stored"),
    ):
        image.read(0, 0, 9, 0, 9)


def test_sixteen_bits_without_window_get_one_proposed_that_can_be_written(tmp_path):
    stored = RANDOM.integers(1030, 3970, (301, 402, 1)).astype(np.uint16)
    stored[0, 0] = 65535  # a hot pixel is no reason for a window
    write(tmp_path / "a.tif", stored)
    with pytest.raises(ImageError, match=r"a\.tif: found uint16 pixels and no window.*image\.window in the") as caught:
        open_image(tmp_path / "a.tif")
    assert "image: {window: [1000, 4000]}" in caught.value.hint
    with open_image(tmp_path / "a.tif", settings=ImageSettings(window=(1000, 4000))) as image:
        assert image.read(0, 0, 301, 0, 402).std() > 60


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([7, 7, 7], np.uint16), (7, 7.1)),
        (np.array([0, 0], np.uint16), (0, 1e-7)),
        (np.linspace(-0.0312, 0.0488, 100_001), (-0.032, 0.049)),
        (np.linspace(0, 65535, 100_001).astype(np.uint16), (0, 65535)),
    ],
)
def test_proposed_windows(values, expected):
    assert propose_window(values) == pytest.approx(expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_named_with_their_place(tmp_path, value):
    stored = np.zeros((100, 120, 1), np.float32)
    stored[70, 33] = value
    write(tmp_path / "a.tif", stored)
    settings = ImageSettings(window=(0, 1))
    with (
        open_image(tmp_path / "a.tif", 0, settings) as image,
        pytest.raises(ImageError, match=rf"a\.tif: level 0: found {value} in row 70, column 33, expected finite"),
    ):
        image.read(0, 60, 80, 30, 40)
    with pytest.raises(ImageError, match="in row 70, column 33"):
        convert_image(tmp_path / "a.tif", tmp_path / "a.ome.zarr", 2.0)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparent_pixels_of_a_tiff_are_white(tmp_path, kind, dtype):
    most = np.iinfo(dtype).max
    alpha = np.array([[0, most, most // 2]], dtype)
    colour = np.array([[most // 4] * 3], dtype)
    if kind == "assocalpha":
        colour = (colour.astype(float) * alpha / most).astype(dtype)
    pixels = np.dstack([colour, colour, colour, alpha])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[kind])
    facts = read_header(tmp_path / "a.tif")
    assert (facts.n_channels, facts.dtype) == (3, np.dtype(dtype).name)
    with open_stored(tmp_path / "a.tif") as image:
        found = image.read(0, 0, 1, 0, 3)[0]
    share = alpha[0] / most
    expected = most // 4 * share + most * (1 - share)
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 3, axis=1), atol=1)
