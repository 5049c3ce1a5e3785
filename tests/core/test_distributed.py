import os
import subprocess
import sys

import pytest
import torch

from cytomesh.core.distributed import find_device, world
from cytomesh.core.errors import ConfigError
from cytomesh.core.parallel import available_cpus

CODE = """
import sys, torch, torch.distributed as dist
from cytomesh.core.distributed import world
with world("cpu") as w:
    total = torch.tensor(float(w.rank + 1))
    dist.all_reduce(total)
    w.barrier()
    open(f"{sys.argv[1]}/{w.rank}", "w").write(f"rank {w.rank} of {w.size}: {total.item()}")
"""


def test_alone_without_a_process_group():
    with world("cpu", threads=1) as w:
        assert (w.rank, w.size, w.is_main, w.device.type) == (0, 1, True, "cpu")
        w.barrier()


def test_two_real_ranks_under_torchrun(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(CODE)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        str(tmp_path),
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert result.returncode == 0, result.stderr
    assert [(tmp_path / name).read_text() for name in "01"] == ["rank 0 of 2: 3.0", "rank 1 of 2: 3.0"]


def test_threads_are_as_before_on_leaving():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with world("cpu", threads=1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(KeyError), world("cpu"):
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("asked", "ranks", "expected"), [("1", 1, 1), ("3,2", 1, 3), ("", 1, available_cpus()), ("7", available_cpus(), 1)]
)
def test_the_environment_says_how_many_threads_but_not_torchrun(monkeypatch, asked, ranks, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    with world("cpu"):
        assert torch.get_num_threads() == expected


def test_auto_takes_what_is_there():
    assert find_device("cpu").type == "cpu"
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused():
    with pytest.raises(ConfigError, match="device: cuda: found no CUDA device.*device: auto"), world("cuda"):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_more_ranks_than_cuda_devices_are_refused():
    assert find_device("cuda").index == 0
    with pytest.raises(ConfigError, match="CUDA device.*nproc-per-node"):
        find_device("auto", torch.cuda.device_count())
