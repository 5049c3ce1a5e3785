"""Images at addresses: the same pixels as on a disk, and one error that names the address."""

from __future__ import annotations

import math
import shutil
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr

from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.core.remote import RemotePath, as_path
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.check import check_study
from cytomesh.study.image_formats.ome_zarr import OmeZarrReader
from cytomesh.study.image_formats.registry import decode_all, read_header
from cytomesh.study.sections import read_sections, write_sections
from tests.imaging.test_bad_images import NAMES, NOISE, write


def whole(path: Path) -> np.ndarray:
    with open_image(path, cache_bytes=0) as image:
        return image.read(0, 0, image.shape[0], 0, image.shape[1])


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_those_of_the_disk(web, name):
    local, path = write(web.folder / name), as_path(f"{web.url}/{name}")
    here, there = read_header(local), read_header(path)
    assert (here.levels, here.um_per_px, here.axes, here.dtype) == (
        there.levels,
        there.um_per_px,
        there.axes,
        there.dtype,
    )
    np.testing.assert_array_equal(whole(path), whole(local))
    decode_all(there)
    with open_image(str(path), cache_bytes=0) as image, ThreadPoolExecutor(4) as threads:
        tops = list(range(0, 640, 64))
        rows = list(threads.map(lambda top: image.read(0, top, top + 64, 0, 900), tops))
    np.testing.assert_array_equal(np.concatenate(rows), whole(local)[:640])


def test_blocks_beside_one_another_are_asked_for_at_once(web, monkeypatch):
    path = write(web.folder / "a.ome.zarr")
    both = threading.Barrier(2, timeout=10)
    read = OmeZarrReader.read
    monkeypatch.setattr(OmeZarrReader, "read", lambda *arguments: (both.wait(), read(*arguments))[1])
    with open_image(as_path(f"{web.url}/{path.name}"), cache_bytes=0) as image:
        rows, columns = image.block_shape(0)
        assert image.read(0, 0, rows, columns - 5, columns + 5).shape == (rows, 10, image.n_channels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fault", "message"), [(403, "403: it may not be read"), (404, "no such image|not stored"), ("cut", "cut off")]
)
def test_every_answer_that_is_none_is_one_error(web, name, fault, message):
    write(web.folder / name)
    path = as_path(f"{web.url}/{name}")
    header = read_header(path)
    parts = (name, "0/c/") if header.path.is_dir() else (name,)
    for part in parts:
        web.faults = {part: fault}
        with pytest.raises(CytomeshError, match=rf"{web.url}/{name}.*: found .*({message}).*Way out"):
            whole(path)


def test_a_shard_of_which_a_part_is_cut_off_and_an_empty_one(web):
    write(web.folder / "sharded.ome.zarr")
    path = as_path(f"{web.url}/sharded.ome.zarr")
    for fault in ("short", "no ranges"):
        web.faults = {"0/c/": fault}
        with (
            open_image(path, cache_bytes=0) as image,
            pytest.raises(CytomeshError, match=r"0/c/0/0: found an answer of .* bytes.*, expected [\d,]+ bytes"),
        ):
            image.read(0, 0, 100, 0, 100)
    web.faults = {}
    (web.folder / "sharded.ome.zarr" / "0" / "c" / "0" / "0").write_bytes(b"")
    with open_image(path, cache_bytes=0) as image, pytest.raises(CytomeshError, match=r"0/c/0/0"):
        image.read(0, 0, 100, 0, 100)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (None, "checksum"),
        ((2**40, 1000), "shorter than was asked for"),
        ((0, 2**40), r"an answer of [\d,]+ bytes, expected 1,099,511,627,776 bytes"),
        ((0, 100), "cannot be decoded at level 0"),
    ],
)
def test_a_shard_with_a_spoilt_index(web, entry, message):
    """It is the end of a shard: offset and length of each chunk, uint64, and a checksum (CRC-32C)."""
    shard = write(web.folder / "sharded.ome.zarr") / "0" / "c" / "0" / "0"
    array = zarr.open_array(shard.parents[2], mode="r")
    n_bytes = 16 * math.prod(array.shards) // math.prod(array.chunks)
    data = shard.read_bytes()
    chunks, index = data[: -n_bytes - 4], bytearray(data[-n_bytes - 4 : -4])
    if entry is None:
        index[3] ^= 1
        checksum = data[-4:]
    else:
        index[:16] = struct.pack("<QQ", *entry)
        checksum = google_crc32c.value(bytes(index)).to_bytes(4, "little")
    shard.write_bytes(chunks + index + checksum)
    with (
        open_image(as_path(f"{web.url}/sharded.ome.zarr"), cache_bytes=0) as image,
        pytest.raises(CytomeshError, match=rf"(?s){web.url}/sharded.ome.zarr.*{message}"),
    ):
        image.read(0, 0, 100, 0, 100)


def test_formats_of_other_libraries_say_that_they_need_a_disk(web):
    (web.folder / "a.czi").write_bytes(b"ZISRAWFILE")
    with pytest.raises(ImageError, match=r"a.czi: found a .czi image at an address, .*Way out: copy it, convert"):
        read_header(as_path(f"{web.url}/a.czi"))


def test_a_study_with_images_at_addresses(web, study_folder, cytomesh, tmp_path):
    for index in (1, 2, 4):
        shutil.copy(study_folder.image(index), web.folder)
        name = study_folder.image(index).relative_to(study_folder.table.parent).as_posix()
        study_folder.change_table(name, f"{web.url}/{study_folder.image(index).name}")
    assert check_study(study_folder.manifest).problems == ()
    sections = read_sections(study_folder.table, "B01")
    assert sum(isinstance(section.image, RemotePath) for section in sections) == 3
    write_sections(tmp_path / "again.tsv", sections)
    assert [section.image for section in read_sections(tmp_path / "again.tsv", "B01")] == [
        section.image for section in sections
    ]
    web.faults = {"section4.png": 403}
    (problem,) = check_study(study_folder.manifest).problems
    assert "403" in problem.found and problem.source == f"{web.url}/section4.png"
    out = study_folder.folder / "copies"
    words = ("images", "convert", study_folder.manifest, "--out", out, "-j", 1)
    code, said, err = cytomesh(*words, "--on-bad-section", "skip")
    assert code == 0 and "left out        1" in said and "403" in err
    web.faults = {}
    code, _, err = cytomesh(*words, "--update-study")
    assert code == 0, err
    assert not any(isinstance(section.image, RemotePath) for section in read_sections(study_folder.table, "B01"))


def test_only_images_may_lie_at_addresses(study_folder):
    name = study_folder.contours(1).relative_to(study_folder.table.parent).as_posix()
    study_folder.change_table(name, "https://example.org/section1.geojson")
    (problem,) = check_study(study_folder.manifest, depth="quick").problems
    assert "line 2 (section 1), contours" in problem.place and "only images may lie at addresses" in problem.expected


def test_commands_take_addresses(web, cytomesh, tmp_path):
    write(web.folder / "a.tif")
    code, out, _ = cytomesh("images", "info", f"{web.url}/a.tif")
    assert code == 0 and "900" in out
    target = tmp_path / "a.ome.zarr"
    assert cytomesh("images", "convert", f"{web.url}/a.tif", "--um-per-px", 2, "--out", target)[0] == 0
    np.testing.assert_array_equal(whole(target), NOISE[..., None])
    assert not convert_image(as_path(f"{web.url}/a.tif"), target, 2.0)  # kept: the server says that it is the same
    code, _, err = cytomesh("images", "info", f"{web.url}/b.tif")
    assert code == 1 and "b.tif: found no such image" in err


def test_a_header_is_read_once_for_as_long_as_the_image_stays_the_same(web):
    write(web.folder / "a.tif")
    path = as_path(f"{web.url}/a.tif")
    first = read_header(path)
    n_before = len(web.requests)
    assert read_header(path) == first and [kind for kind, *_ in web.requests[n_before:]] == ["HEAD"]
    write(web.folder / "a.tif", NOISE[:300])
    assert read_header(path).shape == (300, 900)
    (web.folder / "a.tif").unlink()
    with pytest.raises(ImageError, match="no such image"):
        read_header(path)
