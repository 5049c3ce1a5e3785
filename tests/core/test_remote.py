import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from cytomesh.core import remote
from cytomesh.core.digests import FileDigests, content_digest
from cytomesh.core.errors import AddressError, PackageError
from cytomesh.core.provenance import find, place
from cytomesh.core.remote import RemotePath, as_path, is_address


def test_an_address_is_a_path_with_names_and_parents():
    path = as_path("s3://brains/B01/s001.ome.tif")
    assert isinstance(path, RemotePath) and isinstance(path, Path) and as_path(path) is path
    assert str(path) == os.fspath(path) == "s3://brains/B01/s001.ome.tif" and f"{path}" == str(path)
    assert (path.name, path.suffix, str(path.parent)) == ("s001.ome.tif", ".tif", "s3://brains/B01")
    assert str(path.parent / "s002" / "zarr.json") == "s3://brains/B01/s002/zarr.json"
    assert pickle.loads(pickle.dumps(path)) == path and str(pickle.loads(pickle.dumps(path))) == str(path)
    assert not any(map(is_address, ("C:/x.tif", "file:///x.tif", "a/https:/x", "s3", "x://y")))
    assert not isinstance(as_path("images/s001.tif"), RemotePath)


@pytest.mark.parametrize(("block", "kept"), [(1000, 1), (1000, 32), (9000, 1), (9000, 32), (20_000, 1)])
def test_bytes_are_those_of_the_file_wherever_they_are_read(web, monkeypatch, block, kept):
    monkeypatch.setattr(remote, "BLOCK_BYTES", block)
    monkeypatch.setattr(remote, "N_BLOCKS", kept)
    data = np.random.default_rng(0).bytes(12_345)
    (web.folder / "a.bin").write_bytes(data)
    path = as_path(f"{web.url}/a.bin")
    assert path.stat().st_size == 12_345 and path.read_bytes() == data
    with path.open("rb") as stream:
        for start, n in ((0, 10), (990, 20), (12_000, 1000), (5, 3000), (999, 1), (12_345, 5), (20_000, 5)):
            stream.seek(start)
            assert stream.read(n) == data[start : start + n]
        assert stream.seek(-5, os.SEEK_END) == 12_340 and stream.read() == data[-5:]
        assert stream.seek(3) == 3 and stream.seek(4, os.SEEK_CUR) == 7 == stream.tell()
        assert stream.raw.read_at(500, 2000) == data[500:2500] and stream.tell() == 7
        with pytest.raises(EOFError, match="12000 to 12346 of 12345"):
            stream.raw.read_at(12_000, 346)
    (web.folder / "empty").touch()
    assert as_path(f"{web.url}/empty").read_bytes() == b""
    with pytest.raises(OSError, match="read only"):
        path.open("wb")


def test_what_is_there_is_a_file_or_a_folder_or_nothing(web):
    (web.folder / "a.ome.zarr").mkdir()
    (web.folder / "a.ome.zarr" / ".zattrs").write_text("{}")
    folder, file, nothing = (as_path(f"{web.url}/{name}") for name in ("a.ome.zarr", "a.ome.zarr/.zattrs", "b.tif"))
    assert [(p.is_dir(), p.is_file(), p.exists()) for p in (folder, file, nothing)] == [
        (True, False, True),
        (False, True, True),
        (False, False, False),
    ]
    assert folder.listing() is None
    with pytest.raises(FileNotFoundError):
        as_path(f"{web.url}/none.zarr").stat()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (401, "answer of 401: it may not be read, expected an address that may be read. Way out: ask who runs"),
        (403, "answer of 403: it may not be read"),
        (503, "answer of 503. Way out: try again later"),
        ("cut", "answer that was cut off. Way out: try again"),
        ("short", r"answer of [\d,]+ bytes, expected [\d,]+ bytes. Way out: try again"),
        (
            "no ranges",
            r"answer of 50,000 bytes, more than was asked for, expected [\d,]+ bytes.*HTTP 206",
        ),
    ],
)
@pytest.mark.parametrize("block", [100, 20_000])
def test_servers_that_refuse_or_stop_are_named(web, monkeypatch, fault, message, block):
    """Whether more than a block is read at once, or less."""
    monkeypatch.setattr(remote, "BLOCK_BYTES", block)
    (web.folder / "a.bin").write_bytes(bytes(50_000))
    web.faults = {"a.bin": fault}
    with (
        pytest.raises(AddressError, match=rf"^{web.url}/a.bin: found an {message}"),
        as_path(f"{web.url}/a.bin").open("rb") as stream,
    ):
        stream.read(10_000)


def test_a_file_that_has_shrunk_is_named(web):
    (web.folder / "a.bin").write_bytes(bytes(500))
    with as_path(f"{web.url}/a.bin").open("rb") as stream:
        (web.folder / "a.bin").write_bytes(b"")
        with pytest.raises(AddressError, match="found a file that is shorter than was asked for"):
            stream.read()


def test_no_server_and_no_package_are_named(web, monkeypatch):
    address = f"{web.url}/a.bin"
    web.shutdown()
    web.socket.close()
    with pytest.raises(AddressError, match="found no answer .*Way out: correct the address"):
        as_path(address).stat()
    monkeypatch.setitem(remote.PACKAGES, "gs", "no_such_package")
    with pytest.raises(PackageError, match=r"no_such_package: .*cytomesh\[cloud\]"):
        as_path("gs://brains/a.tif").stat()


def test_a_file_that_is_written_anew_has_another_digest_and_is_found_again(web, tmp_path):
    file = web.folder / "a.bin"
    path = as_path(f"{web.url}/a.bin")
    digests = FileDigests()

    def write(text: str, seconds: int) -> str:
        file.write_text(text)
        os.utime(file, (seconds, seconds))
        assert digests.digest(path) == content_digest(path)
        return digests.digest(path)

    first = write("one", 1_000)
    assert write("one", 1_000) == first
    assert digests.recall(path, "content") == first
    assert len({first, write("two", 2_000), write("two", 3_000)}) == 3
    where = place(path, tmp_path, tmp_path / "study")
    assert where == f"address:{path}" and find(where, tmp_path, None) == path
    file.unlink()
    assert digests.digest(path) == "absent"
    web.faults = {"a.bin": 403}
    assert digests.digest(path) == "unreadable"


def test_a_group_on_a_web_server_is_known_by_its_metadata(web):
    (web.folder / "a.zarr").mkdir()
    (web.folder / "a.zarr" / "zarr.json").write_text("{}")
    before = content_digest(as_path(f"{web.url}/a.zarr"))
    assert content_digest(as_path(f"{web.url}/a.zarr")) == before
    (web.folder / "a.zarr" / "zarr.json").write_text("[1]")
    assert content_digest(as_path(f"{web.url}/a.zarr")) != before
