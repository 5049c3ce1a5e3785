"""The job scripts of `configs/slurm`: what they call, with programs in the place of Slurm's and torch's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cytomesh.core.config import preset
from cytomesh.core.shipped import shipped

FOLDER = shipped("configs") / "slurm"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.sh"))
# Each writes what it was called with; srun runs the rest of its line, as on a node.
PROGRAMS = {
    "torchrun": 'echo "torchrun $*" >> "$SAID"; exit "${CODE:-0}"',
    "cytomesh": 'echo "cytomesh $*" >> "$SAID"',
    "apptainer": 'echo "apptainer $*" >> "$SAID"',
    "scontrol": '[ "$1" = requeue ] && echo "requeue $2" >> "$SAID" || echo node1',
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; "$@"',
}


def submit(folder: Path, script: str, *words: str, edit: tuple[str, str] = ("", ""), **variables: str):
    """Run a script in a folder without a checkout; return its exit code and what was called."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, body in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    (folder / script).write_text((FOLDER / script).read_text().replace(*edit))
    said = folder / "said.txt"
    said.write_text("")
    own = {"PATH": f"{programs}:{os.environ['PATH']}", "SAID": str(said), "SLURM_JOB_ID": "4712345"}
    own |= {"SLURM_NNODES": "16", "SLURM_JOB_NODELIST": "node[1-16]", **variables}
    done = subprocess.run([shutil.which("bash") or "bash", script, *words], cwd=folder, env=own, capture_output=True)
    assert not done.stderr, done.stderr
    return done.returncode, said.read_text().splitlines()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_job_calls_cytomesh_with_presets_and_what_is_added(tmp_path, script):
    code, (line,) = submit(tmp_path, script, "/data/my run", "--set", "seed=3")
    assert code == 0 and "--out /data/my run" in line and line.endswith("--set seed=3")
    words = line.split()
    if "--config" in words:
        assert preset("pretrain", words[words.index("--config") + 1]).is_file()
    if script == "pretrain_16_nodes.sh":
        assert "--nnodes 8:16 " in line and "--rdzv-endpoint node1:22345 " in line


@pytest.mark.parametrize("script", SCRIPTS)
def test_lines_to_edit_are_there(tmp_path, script):
    text = (FOLDER / script).read_text()
    for line in ("##SBATCH --account=", "##SBATCH --partition=", "#SBATCH --mem=", "#SBATCH --cpus-per-task="):
        assert f"\n{line}" in text
    code, (line,) = submit(tmp_path, script, "run", edit=('CONTAINER=""\n#', ""))
    assert code == 0 and line.startswith("apptainer exec ") and "/data/cytomesh.sif " in line


def test_a_job_that_wrote_its_checkpoint_queues_itself_again(tmp_path):
    for script in ("pretrain_1_node.sh", "pretrain_16_nodes.sh"):
        assert submit(tmp_path, script, "run", CODE="75")[1][-1] == "requeue 4712345"
        code, said = submit(tmp_path, script, "run", CODE="3")
        assert code == 3 and len(said) == 1


def test_the_manual_shows_them_all_and_where_they_are(capsys):
    page = (Path(__file__).parents[1] / "docs" / "start" / "cluster.md").read_text()
    exec(re.search(r"python3 -c '(.+?)'", page)[1], {})
    assert capsys.readouterr().out == f"{FOLDER}\n"
    assert [name for name in (*SCRIPTS, "sections_dask.py") if f"configs/slurm/{name}" not in page] == []
