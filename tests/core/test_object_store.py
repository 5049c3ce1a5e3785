"""Files are put and fetched whole or not at all, on a disk, on a web server and in a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from cytomesh.core.errors import AddressError, StorageError
from cytomesh.core.object_store import copy, fetch, new_file, put, read_ranges, sizes
from cytomesh.core.remote import as_path
from tests.s3_server import BUCKET

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages behind it
DATA = bytes(range(256)) * 40


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def shown(web):
    """Two files on a web server."""
    for name in ("a.bin", "b.bin"):
        (web.folder / name).write_bytes(DATA if name == "a.bin" else DATA[::-1])
    return [as_path(f"{web.url}/{name}") for name in ("a.bin", "b.bin")]


def test_ranges_of_several_files_are_those_of_the_files(web, shown):
    a, b = shown
    wanted = [(a, 0, 10), (b, 300, 4000), (a, 10_000, 10_240), (a, 10, 11)]
    assert read_ranges(wanted) == [DATA[0:10], DATA[::-1][300:4000], DATA[10_000:], DATA[10:11]]
    assert sorted(span for *_, span in web.requests) == sorted(f"bytes={i}-{j - 1}" for _, i, j in wanted)
    assert sizes([a, as_path(f"{web.url}/none"), b]) == [10_240, None, 10_240]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (403, "403: it may not be read"),
        (404, "no such file"),
        (503, "an answer of 503"),
        ("cut", "cut off"),
        ("short", "an answer of 99 bytes, expected 100 bytes"),
        ("no ranges", "an answer of 10,240 bytes, more than was asked for"),
    ],
)
def test_the_file_whose_range_is_not_to_be_had_is_named(web, shown, fault, message):
    a, b = shown
    web.faults = {"b.bin": fault}
    with pytest.raises(AddressError, match=rf"^{b}: found .*{message}"):
        read_ranges([(a, 0, 100), (b, 0, 100), (a, 5, 50)])


def test_a_range_beyond_the_end_is_named(shown):
    with pytest.raises(AddressError, match=r"a\.bin: found a file that is shorter than was asked for"):
        read_ranges([(shown[0], 20_000, 20_100)])


def test_a_file_on_a_disk_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.bin"
    with pytest.raises(KeyError), new_file(path, tmp_path) as temporary:
        temporary.write_bytes(DATA)
        raise KeyError
    assert not names(tmp_path)
    with new_file(path, tmp_path) as temporary:
        temporary.write_bytes(DATA)
    copy(path, tmp_path / "b.bin", tmp_path)
    assert (tmp_path / "b.bin").samefile(path) and names(tmp_path) == ["a.bin", "b.bin"]


def test_web_servers_are_read_only_but_files_are_fetched_from_there(web, shown, tmp_path):
    fetch(shown[0], tmp_path / "a.bin")
    copy(shown[1], tmp_path / "b.bin", tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("a.bin", "b.bin")] == [DATA, DATA[::-1]]
    with pytest.raises(StorageError, match=rf"^{web.url}/c\.bin: found the address of a web server"):
        put(tmp_path / "a.bin", as_path(f"{web.url}/c.bin"))
    web.faults = {"a.bin": "cut"}
    with pytest.raises(AddressError, match="cut off"):
        copy(shown[0], tmp_path / "c.bin", tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.bin")) == ["a.bin", "b.bin"]


def test_a_file_in_a_store_appears_whole_or_not_at_all(s3, tmp_path):
    there = as_path(f"s3://{BUCKET}/put/a.bin")
    with pytest.raises(KeyError), new_file(there, tmp_path) as temporary:
        temporary.write_bytes(DATA)
        raise KeyError
    assert not names(tmp_path) and not s3.names("put")
    with new_file(there, tmp_path) as temporary:
        temporary.write_bytes(DATA)
    assert not names(tmp_path) and there.read_bytes() == DATA
    copy(there, as_path(f"s3://{BUCKET}/put/b.bin"), tmp_path)
    copy(there, tmp_path / "c.bin", tmp_path)
    copy(tmp_path / "c.bin", as_path(f"s3://{BUCKET}/put/d.bin"), tmp_path)
    assert s3.names("put") == {"put/a.bin", "put/b.bin", "put/d.bin"}
    assert read_ranges([(there.with_name(name), 7, 9) for name in ("a.bin", "b.bin", "d.bin")]) == [DATA[7:9]] * 3
    with pytest.raises(StorageError, match=r"^s3://no-bucket/a\.bin: found no such bucket.*make it"):
        put(tmp_path / "c.bin", as_path("s3://no-bucket/a.bin"))
    with pytest.raises(StorageError, match=r"^s3://no-bucket/a\.bin: found no such bucket.*make it"):
        copy(there, as_path("s3://no-bucket/a.bin"), tmp_path)
