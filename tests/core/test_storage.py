"""Full and read-only disks, file systems without locks or folder sync: a clear line, or a way around."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cytomesh.core.errors import CytomeshError, StorageError
from cytomesh.core.files import atomic_path, new_npy, storage_fault, write_array, write_text
from cytomesh.core.parallel import available_cpus
from cytomesh.core.run import lock
from cytomesh.pretrain.checkpoints import save_best


def failing(number):
    def call(*arguments):
        raise OSError(number, os.strerror(number))

    return call


def write_mapped(path):
    with atomic_path(path) as temporary:
        new_npy(temporary, (100_000,), np.float64)[:] = 1


def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    # the signal of the limit is ignored by Python: writes fail with EFBIG


def cytomesh(*words, **how):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cytomesh", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **how)


@pytest.fixture
def mount(tmp_path):
    """Mounts a small file system with some options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mounted(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("file systems cannot be mounted here")
        return folder

    yield mounted
    subprocess.run(["umount", folder], capture_output=True, check=False)


def test_a_full_disk_is_one_error_and_leaves_nothing(mount):
    full_disk = mount("size=64k")
    (full_disk / "kept.txt").write_text("x")
    for write in (
        lambda: write_array(full_disk / "a.npy", np.zeros(100_000)),
        lambda: write_text(full_disk / "a.txt", "x" * 100_000),
        lambda: write_mapped(full_disk / "a.npy"),
        lambda: save_best(full_disk, "key", 1, {"weight": torch.zeros(100_000)}),
    ):
        with pytest.raises(
            StorageError, match=r"(a\.npy|a\.txt|best\.pt): found no space left on device, while writing"
        ):
            write()
    assert [path.name for path in full_disk.iterdir()] == ["kept.txt"]


def test_what_numpy_says_of_a_full_disk_is_understood():
    assert storage_fault(OSError("100000 requested and 2032 written"))[0] == "no space left on device"
    assert storage_fault(OSError("something else")) is None
    assert storage_fault(FileNotFoundError(errno.ENOENT, "no such file")) is None


def test_a_read_only_disk_is_one_line(mount):
    done = cytomesh("phantom", "--out", mount("ro") / "run", "--config", "configs/phantom/tiny.yaml")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "read-only file system" in done.stderr and "Way out" in done.stderr


def test_a_full_disk_in_the_middle_of_a_command_is_one_line(mount):
    done = cytomesh("phantom", "--out", mount("size=200k") / "run", "--config", "configs/phantom/tiny.yaml")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert "no space left on device" in done.stderr and "Way out: make room" in done.stderr


def test_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    done = cytomesh("phantom", "--out", tmp_path / "file" / "run", "--config", "configs/phantom/tiny.yaml")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "not a directory" in done.stderr and "Way out" in done.stderr


def test_a_file_limit_is_one_line(tmp_path):
    words = ("phantom", "--out", tmp_path / "p", "--config", "configs/phantom/tiny.yaml")
    done = cytomesh(*words, preexec_fn=limit_file_size)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "file too large" in done.stderr and str(tmp_path) in done.stderr


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EACCES])
def test_folders_that_cannot_be_synced_are_written_to_all_the_same(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", failing(number))
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_a_disk_that_fails_while_syncing_is_not_ignored(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(StorageError, match="input/output error"):
        write_text(tmp_path / "a.txt", "x")
    assert list(tmp_path.iterdir()) == []


def test_without_locks_a_file_stands_for_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    with lock(tmp_path, "classify/a"):
        assert "no locks on this file system" in capsys.readouterr().err
        with pytest.raises(CytomeshError, match="another cytomesh process"), lock(tmp_path, "classify/a"):
            pass
    with lock(tmp_path, "classify/a"):
        pass
    # what a killed process left is taken over
    marker = tmp_path / ".locks" / "classify%2Fa.soft"
    code = (
        "import errno, fcntl, os, sys\n"
        "def fail(*a): raise OSError(errno.ENOLCK, 'no locks')\n"
        "fcntl.flock = fail\n"
        "from pathlib import Path\n"
        "from cytomesh.core.run import lock\n"
        f"held = lock(Path({str(tmp_path)!r}), 'classify/a'); held.__enter__(); os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert marker.exists()
    with lock(tmp_path, "classify/a"):
        pass


def test_processors_where_affinity_is_unknown(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cpus() == os.cpu_count()
