import os
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from cytomesh.core import digests as module
from cytomesh.core.digests import DIGESTS, FileDigests, content_digest, file_digests


def settle(path) -> None:
    """Let a file look older than the moment in which it might change unseen."""
    os.utime(path, ns=(time.time_ns() - 10**10,) * 2)


def test_content_counts_and_nothing_else(tmp_path):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    a.write_bytes(b"pixels")
    b.write_bytes(b"pixels")
    os.utime(b, (1, 1))
    digests = FileDigests()
    assert digests.digest(a) == digests.digest(b)
    b.write_bytes(b"pixelz")
    assert digests.digest(a) != digests.digest(b)


def test_what_is_remembered_is_not_read_again_until_the_file_changes(tmp_path):
    path, calls = tmp_path / "a.txt", []

    def length(file) -> int:
        calls.append(file)
        return len(file.read_bytes())

    path.write_text("abc")
    settle(path)
    with file_digests(tmp_path) as digests:
        assert [digests.remember(path, "length", length) for _ in range(3)] == [3, 3, 3]
    with file_digests(tmp_path) as digests:
        assert digests.remember(path, "length", length) == 3
    assert len(calls) == 1
    before = path.stat()
    path.write_text("xyz")  # same size, and its time set back
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with file_digests(tmp_path) as digests:
        digests.remember(path, "length", length)
    assert len(calls) == 2


def test_a_file_of_this_moment_is_not_remembered(tmp_path):
    path = tmp_path / "a.txt"
    digests = FileDigests()
    for text in ("aaa", "bbb", "ccc"):  # within one tick of a coarse clock
        path.write_text(text)
        os.utime(path, ns=(time.time_ns(),) * 2)
        assert digests.digest(path) == content_digest(path)


def test_folders_are_known_by_all_that_is_in_them(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "0").mkdir(parents=True)
        (tmp_path / name / "zarr.json").write_text("{}")
        (tmp_path / name / "0" / "c").write_text("chunk")
    digests = FileDigests()
    before = digests.digest(tmp_path / "one")
    assert before == digests.digest(tmp_path / "two")
    (tmp_path / "one" / "0" / "c").write_text("chunks")
    assert digests.digest(tmp_path / "one") != before
    (tmp_path / "two" / "0" / "c").rename(tmp_path / "two" / "0" / "d")
    assert digests.digest(tmp_path / "two") != before


def test_linked_folders_are_watched_and_loops_end(tmp_path):
    (tmp_path / "image.zarr").mkdir()
    (tmp_path / "store" / "0").mkdir(parents=True)
    (tmp_path / "store" / "0" / "c").write_text("chunk")
    (tmp_path / "image.zarr" / "0").symlink_to(tmp_path / "store" / "0")
    (tmp_path / "store" / "0" / "loop").symlink_to(tmp_path / "image.zarr")
    digests = FileDigests()
    before = digests.digest(tmp_path / "image.zarr")
    (tmp_path / "store" / "0" / "c").write_text("other")
    assert digests.digest(tmp_path / "image.zarr") != before


def test_tensors_count_not_the_order_of_metadata(tmp_path):
    values = {"b": np.arange(6.0).reshape(2, 3), "a": np.ones(4, np.float32)}
    first, second, other = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "other"))
    save_file(values, first, metadata={"x": "1", "y": "2"})
    save_file(dict(reversed(values.items())), second, metadata={"z": "3"})
    save_file({**values, "a": np.full(4, 2, np.float32)}, other, metadata={"x": "1", "y": "2"})
    assert content_digest(first) == content_digest(second) != content_digest(other)
    second.write_bytes(first.read_bytes()[:20])
    assert content_digest(second) != content_digest(first)  # damaged: by its bytes


def test_large_files_by_size_time_and_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGE_BYTES", 1000)
    monkeypatch.setattr(module, "SAMPLE_BYTES", 10)
    path = tmp_path / "large.tif"
    content = bytearray(5000)
    path.write_bytes(content)
    os.utime(path, (5, 5))
    before = content_digest(path)
    content[0] = 1  # in the first sample
    path.write_bytes(content)
    os.utime(path, (5, 5))
    sampled = content_digest(path)
    assert sampled != before
    content[15] = 1  # between samples: the time tells
    path.write_bytes(content)
    os.utime(path, (6, 6))
    assert content_digest(path) not in (before, sampled)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 3}'])
def test_a_damaged_store_costs_time_only(tmp_path, text):
    (tmp_path / ".digests.json").write_text(text)
    (tmp_path / "a").write_text("a")
    settle(tmp_path / "a")
    with file_digests(tmp_path) as digests:
        assert digests.digest(tmp_path / "a") == content_digest(tmp_path / "a")
    assert "signature" in (tmp_path / ".digests.json").read_text()


def test_absent_files_have_a_digest_of_their_own(tmp_path):
    digests = FileDigests()
    assert digests.digest_all([tmp_path / "a", tmp_path / "b"]) == ["absent", "absent"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    assert FileDigests().digest(tmp_path / "x.npy") == "unreadable"
    with pytest.raises(OSError, match="pipe"):
        content_digest(tmp_path / "x.npy")


def test_a_store_that_cannot_be_written_costs_time_only(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("abc")
    settle(path)
    (tmp_path / "file").touch()  # no folder: root may write to any
    digests = FileDigests(tmp_path / "file" / "run" / DIGESTS)
    assert digests.digest(path) == content_digest(path)
    digests.save()
