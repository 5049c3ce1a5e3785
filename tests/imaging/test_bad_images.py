"""Images that are not what they say, or what they were: one error, before memory is asked for; never other pixels."""

from __future__ import annotations

import json
import shutil
import subprocess
import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.image_formats.registry import check_pixels, open_reader, read_header

NOISE = np.random.default_rng(0).integers(0, 256, (700, 900), np.uint8)
NAMES = ("a.png", "a.jpg", "a.tif", "a.ome.zarr", "sharded.ome.zarr")


def write(path: Path, pixels: np.ndarray = NOISE) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, tile=(128, 128), compression="zlib")
    elif path.name == "sharded.ome.zarr":
        write(path.with_name("source.tif"), pixels)
        convert_image(path.with_name("source.tif"), path, 1.0)
    elif path.suffix == ".zarr":
        write_ome_zarr(path, pixels, 1.0)
    else:
        Image.fromarray(pixels).save(path)
    return path


def whole(path: Path) -> np.ndarray:
    with open_image(path, cache_bytes=0) as image:
        height, width = image.shape
        return image.read(0, 0, height, 0, width)


@pytest.mark.parametrize("name", NAMES)
def test_empty_files(tmp_path, name):
    path = write(tmp_path / name)
    if path.is_dir():
        chunks = [file for file in (path / "0" / "c").rglob("*") if file.is_file()]
        chunks[-1].write_bytes(b"")
        with pytest.raises(ImageError, match=r"1 of \d chunks not stored at level 0.*Way out"):
            whole(path)
        (path / "zarr.json").write_bytes(b"")
    else:
        path.write_bytes(b"")
    with pytest.raises(ImageError, match=rf"{name}: found .*Way out"):
        read_header(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["a.ome.zarr", "sharded.ome.zarr"])
def test_chunks_and_shards_cut_off(tmp_path, name, share):
    path = write(tmp_path / name)
    last = sorted(file for file in (path / "0" / "c").rglob("*") if file.is_file())[-1]
    last.write_bytes(last.read_bytes()[: int(share * last.stat().st_size)])
    with pytest.raises(ImageError, match=rf"{name}: found .*Way out"):
        check_pixels(read_header(path))
    with pytest.raises(ImageError, match="not stored at level 0" if share == 0 else "cannot be decoded at level 0"):
        whole(path)


@pytest.mark.parametrize("side", [256, 500, 600])
def test_chunks_of_another_size_than_the_header_says(tmp_path, side):
    path = write(tmp_path / "a.ome.zarr")
    facts = json.loads((path / "0" / "zarr.json").read_text())
    facts["chunk_grid"]["configuration"]["chunk_shape"] = [side, side]
    (path / "0" / "zarr.json").write_text(json.dumps(facts))
    with pytest.raises(ImageError, match=r"a\.ome\.zarr: found .*Way out"):
        check_pixels(read_header(path))
    with pytest.raises(ImageError, match=r"a\.ome\.zarr: found .*Way out"):
        whole(path)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.zarr"])
def test_a_terabyte_claimed_is_refused_before_it_is_asked_for(tmp_path, name):
    path = write(tmp_path / name)
    side = 10**6
    if path.is_dir():
        facts = json.loads((path / "0" / "zarr.json").read_text())
        (path / "0" / "zarr.json").write_text(json.dumps(facts | {"shape": [side, side]}))
        shutil.rmtree(path / "1")
        group = json.loads((path / "zarr.json").read_text())
        scales = group["attributes"]["ome"]["multiscales"][0]
        scales["datasets"] = scales["datasets"][:1]
        (path / "zarr.json").write_text(json.dumps(group))
    else:
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            for tag in ("ImageWidth", "ImageLength"):
                tiff.pages[0].tags[tag].overwrite(side)
    tracemalloc.start()
    for use in (lambda: check_pixels(read_header(path)), lambda: whole(path), lambda: small(path)):
        with pytest.raises(ImageError, match=rf"{name}: found .*Way out"):
            use()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**26


def small(path: Path) -> None:
    with open_image(path) as image:
        image.read_small(512)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_changes_between_check_and_read(tmp_path, name):
    """Another size: no reader goes on with the header of what was there before."""
    path = write(tmp_path / name)
    header = read_header(path)
    check_pixels(header)
    if path.is_dir():
        shutil.rmtree(path)
    write(path, np.ascontiguousarray(NOISE[:300, :400]))
    with pytest.raises(ImageError, match=rf"{name}: found "), closing(open_reader(header)) as reader:
        reader.read(0, slice(0, 700), slice(0, 900))


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_vanishes_between_check_and_read(tmp_path, name):
    path = write(tmp_path / name)
    header = read_header(path)
    check_pixels(header)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ImageError, match=rf"{name}: found "), closing(open_reader(header)) as reader:
        reader.read(0, slice(0, 700), slice(0, 900))


def test_a_copy_of_what_has_changed_meanwhile_is_not_finished(tmp_path, monkeypatch):
    """The copy is compared with what the source is in the end."""
    source = write(tmp_path / "a.tif")
    from cytomesh.imaging import convert

    compare = convert._compare_row

    def changed(job, rows):
        write(source, 255 - NOISE)
        compare(job, rows)

    monkeypatch.setattr(convert, "_compare_row", changed)
    with pytest.raises(ImageError, match="other pixels in rows 0 to 700"):
        convert_image(source, tmp_path / "copy.ome.zarr", 1.0)
    assert not (tmp_path / "copy.ome.zarr").exists()


def test_a_disk_that_fills_up_during_conversion_is_one_line_and_no_copy(tmp_path, cytomesh):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        source = write(tmp_path / "a.tif")
        code, _, said = cytomesh("images", "convert", source, "--out", disk / "copy.ome.zarr", "--um-per-px", 1)
        assert code == 1 and "no space left on device" in said and "Way out" in said and "Traceback" not in said
        assert not (disk / "copy.ome.zarr").exists()
    finally:
        subprocess.run(["umount", disk], check=False, capture_output=True)


@pytest.mark.parametrize("name", ["s.png", "s.jpg", "s.nii", "s.nii.gz", "s.tif"])
def test_a_damaged_image_is_named_once(tmp_path, name):
    (tmp_path / name).write_bytes(b"no image" * 40)
    with pytest.raises(ImageError) as caught:
        read_header(tmp_path / name)
    assert str(caught.value).count(name) == 1 and str(caught.value).startswith(str(tmp_path / name))
