import os
import subprocess
import sys

from cytomesh.core.distributed import world

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
