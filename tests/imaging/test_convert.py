"""Images to OME-Zarr: the same pixels and levels as from memory, in pieces, resumed, compared; nothing lost."""

import json
import shutil
import time

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.imaging import convert
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.registry import read_header
from tests.processes import start_program


def pixels(height: int, width: int, channels: int = 1) -> np.ndarray:
    values = np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)
    values[: height // 3, : width // 3] = 0  # black is stored, too
    return values[..., 0] if channels == 1 else values


def all_levels(path) -> list[np.ndarray]:
    with open_image(path) as image:
        return [image.read(i, 0, level.shape[0], 0, level.shape[1]) for i, level in enumerate(image.levels)]


def assert_same_image(path, other) -> None:
    assert [vars_of(level) for level in read_header(path).levels] == [vars_of(x) for x in read_header(other).levels]
    assert read_header(path).um_per_px == read_header(other).um_per_px
    for one, two in zip(all_levels(path), all_levels(other), strict=True):
        np.testing.assert_array_equal(one, two)


def vars_of(level) -> tuple:
    return level.shape, level.scale, level.offset


@pytest.mark.parametrize(("height", "width", "channels"), [(700, 1501, 1), (513, 300, 3), (3, 5, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_copy_is_the_image_with_the_levels_of_one_made_in_memory(tmp_path, height, width, channels, suffix):
    array = pixels(height, width, channels)
    source, target = tmp_path / f"a{suffix}", tmp_path / "a.ome.zarr"
    if suffix == ".png":
        Image.fromarray(array).save(source)
    else:
        tifffile.imwrite(source, array, tile=(64, 64), compression="zlib")
    assert convert_image(source, target, 2.5)
    write_ome_zarr(tmp_path / "b.ome.zarr", array, 2.5, len(read_header(target).levels))
    assert_same_image(target, tmp_path / "b.ome.zarr")
    with open_image(source) as image:  # and what is read of the original is what is read of the copy
        np.testing.assert_array_equal(image.read(len(image.levels) - 1, 0, 1, 0, 1), all_levels(target)[-1][:1, :1])


@pytest.mark.parametrize("channels", [1, 3])
def test_many_shards_and_windows(tmp_path, monkeypatch, channels):
    monkeypatch.setattr(convert, "CHUNK_PX", 16)
    monkeypatch.setattr(convert, "SHARD_PX", 64)
    monkeypatch.setattr(convert, "WINDOW_BYTES", 64 * 64 * 3 * 3)
    array = pixels(259, 365, channels)
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(128, 128))
    convert_image(tmp_path / "a.tif", tmp_path / "a.ome.zarr", 1.0)
    write_ome_zarr(tmp_path / "b.ome.zarr", array, 1.0, len(read_header(tmp_path / "a.ome.zarr").levels))
    assert_same_image(tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr")
    level = zarr.open_array(tmp_path / "a.ome.zarr" / "0", mode="r")  # black shards are files that zarr can read
    np.testing.assert_array_equal(level[:], array if channels == 1 else np.moveaxis(array, 2, 0))
    assert level.shards[-2:] == (64, 64) and level.chunks[-2:] == (16, 16)
    assert (
        len(
            [path for path in (tmp_path / "a.ome.zarr" / "0").rglob("*") if path.name != "zarr.json" and path.is_file()]
        )
        == 5 * 6
    )


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_versions_are_what_the_specification_says(tmp_path, version, channels):
    models = pytest.importorskip(f"ome_zarr_models.v{version.replace('.', '')}.image")
    specs = pytest.importorskip(f"pydantic_zarr.v{2 if version == '0.4' else 3}")
    models.Image.model_rebuild(_types_namespace=vars(specs) | vars(models))  # which it leaves to its reader
    array, target = pixels(700, 1500, channels), tmp_path / "a.ome.zarr"
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(256, 256))
    convert_image(tmp_path / "a.tif", target, 2.5, ome_version=version)
    group = zarr.open_group(target, mode="r")
    assert group.metadata.zarr_format == {"0.4": 2, "0.5": 3}[version]
    attributes = models.Image.from_zarr(group).attributes
    (entry,) = (attributes if version == "0.4" else attributes.ome).multiscales
    scales = [level.coordinateTransformations[0].scale[-2:] for level in entry.datasets]
    np.testing.assert_array_equal(scales, [[2.5 * 2**i] * 2 for i in range(4)])
    np.testing.assert_array_equal(group["0"][:], array if channels == 1 else np.moveaxis(array, 2, 0))
    write_ome_zarr(tmp_path / "b.ome.zarr", array, 2.5, 4)
    assert_same_image(target, tmp_path / "b.ome.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_reads_both_versions(tmp_path, version):
    reader, io = (pytest.importorskip(f"ome_zarr.{name}") for name in ("reader", "io"))
    array, target = pixels(700, 1500, 3), tmp_path / "a.ome.zarr"
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(256, 256))
    convert_image(tmp_path / "a.tif", target, 2.5, ome_version=version)
    (node,) = reader.Reader(io.parse_url(str(target)))()
    np.testing.assert_array_equal(np.asarray(node.data[0]), np.moveaxis(array, 2, 0))
    assert [level.shape[1:] for level in node.data] == [level.shape for level in read_header(target).levels]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_channels_have_their_names_in_both_versions(tmp_path, version):
    names = {"axes": "CYX", "Channel": {"Name": ["NeuN", "GFAP"]}}
    values = np.random.default_rng(0).integers(0, 4000, (2, 90, 70), np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, tile=(64, 64), metadata=names)
    convert_image(tmp_path / "a.ome.tif", tmp_path / "a.ome.zarr", 1.0, ome_version=version)
    header = read_header(tmp_path / "a.ome.zarr")
    assert header.channel_names == ("NeuN", "GFAP") and header.dtype == "uint16"


def test_the_version_is_part_of_what_a_copy_was_made_from(tmp_path, cytomesh):
    tifffile.imwrite(tmp_path / "a.tif", pixels(40, 30), tile=(16, 16))
    words = ("images", "convert", tmp_path / "a.tif", "--out", tmp_path / "a.ome.zarr", "--um-per-px", "1")
    for version, made in (("0.5", 1), ("0.4", 1), ("0.4", 0), ("0.5", 1)):
        _, said, _ = cytomesh(*words, "--ome-version", version, "--workers", "1", "--json")
        assert json.loads(said)["converted"] == made
        assert (tmp_path / "a.ome.zarr" / "zarr.json").is_file() == (version == "0.5")


def test_bytes_do_not_depend_on_workers(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", pixels(2500, 600), tile=(256, 256), resolution=(10_000, 10_000), resolutionunit=3
    )
    for workers in (1, 2):
        convert_image(tmp_path / "a.tif", tmp_path / f"{workers}.ome.zarr", workers=workers)
    assert read_header(tmp_path / "1.ome.zarr").um_per_px == 1.0
    files = [path for path in (tmp_path / "1.ome.zarr").rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        other = tmp_path / "2.ome.zarr" / path.relative_to(tmp_path / "1.ome.zarr")
        assert path.read_bytes().replace(b'"1"', b'"2"') == other.read_bytes().replace(b'"1"', b'"2"')


def test_a_stopped_conversion_goes_on_and_writes_only_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "CHUNK_PX", 16)
    monkeypatch.setattr(convert, "SHARD_PX", 64)
    array = pixels(400, 300)
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(128, 128))
    put, written = convert._put, []

    def few(array, rows, columns, values):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(rows)
        put(array, rows, columns, values)

    with monkeypatch.context() as patch:
        patch.setattr(convert, "_put", few)
        with pytest.raises(KeyboardInterrupt):
            convert_image(tmp_path / "a.tif", tmp_path / "a.ome.zarr", 1.0)
    assert not (tmp_path / "a.ome.zarr").exists()
    first = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / ".next-a.ome.zarr" / "0" / "c").rglob("*")
        if path.is_file()
    }
    assert len(first) == 4 * 5
    assert convert_image(tmp_path / "a.tif", tmp_path / "a.ome.zarr", 1.0)
    for path, time_ns in first.items():
        kept = tmp_path / "a.ome.zarr" / path.relative_to(tmp_path / ".next-a.ome.zarr")
        assert kept.stat().st_mtime_ns == time_ns
    np.testing.assert_array_equal(all_levels(tmp_path / "a.ome.zarr")[0][..., 0], array)
    assert not list(tmp_path.glob(".next-*"))
    assert not convert_image(tmp_path / "a.tif", tmp_path / "a.ome.zarr", 1.0)  # kept


def test_a_killed_program_goes_on(tmp_path):
    array = pixels(6000, 3000)
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(512, 512))
    words = (
        "images",
        "convert",
        tmp_path / "a.tif",
        "--out",
        tmp_path / "a.ome.zarr",
        "--um-per-px",
        1,
        "--workers",
        1,
    )
    process = start_program(tmp_path / "errors.txt", *words)
    deadline = time.monotonic() + 100
    while not list(tmp_path.glob(".next-a.ome.zarr/0/c/1/*")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.join()
    assert not (tmp_path / "a.ome.zarr").exists()
    process = start_program(tmp_path / "errors.txt", *words)
    process.join(200)
    assert process.exitcode == 0, (tmp_path / "errors.txt").read_text()
    np.testing.assert_array_equal(all_levels(tmp_path / "a.ome.zarr")[0][..., 0], array)
    assert [path.name for path in tmp_path.glob(".next-*")] == []


def test_another_image_takes_the_place_and_what_is_no_conversion_stays(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "a.ome.zarr"
    Image.fromarray(pixels(40, 50)).save(source)
    convert_image(source, target, 1.0)
    Image.fromarray(255 - pixels(40, 50)).save(source)
    assert convert_image(source, target, 1.0)
    np.testing.assert_array_equal(all_levels(target)[0][..., 0], 255 - pixels(40, 50))
    shutil.rmtree(target)
    write_ome_zarr(target, pixels(9, 9), 1.0)
    with pytest.raises(ImageError, match="no conversion"):
        convert_image(source, target, 1.0)
    np.testing.assert_array_equal(all_levels(target)[0][..., 0], pixels(9, 9))


def test_a_copy_that_is_not_the_image_is_refused(tmp_path, monkeypatch):
    Image.fromarray(pixels(300, 200)).save(tmp_path / "a.png")
    put = convert._put
    monkeypatch.setattr(convert, "_put", lambda array, rows, columns, values: put(array, rows, columns, values ^ 1))
    with pytest.raises(ImageError, match="other pixels in rows 0 to 300, columns 0 to 200"):
        convert_image(tmp_path / "a.png", tmp_path / "a.ome.zarr", 1.0)
    assert not (tmp_path / "a.ome.zarr").exists()


def test_pixel_sizes_are_known_and_do_not_contradict_each_other(tmp_path):
    Image.fromarray(pixels(30, 20)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"no pixel size.*--um-per-px"):
        convert_image(tmp_path / "a.png", tmp_path / "x.ome.zarr")
    tifffile.imwrite(tmp_path / "a.tif", pixels(30, 20), resolution=(10_000, 10_000), resolutionunit="CENTIMETER")
    with pytest.raises(ImageError, match=r"1 um/px in the image, 2 given"):
        convert_image(tmp_path / "a.tif", tmp_path / "x.ome.zarr", 2.0)
    assert not list(tmp_path.glob("*.zarr"))


def test_a_cut_off_image_is_named_and_leaves_nothing_finished(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels(300, 300), tile=(64, 64))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"a\.tif"):
        convert_image(tmp_path / "a.tif", tmp_path / "a.ome.zarr", 1.0)
    assert not (tmp_path / "a.ome.zarr").exists()
