import json
import os
import subprocess
import sys


def run_doctor(*words, **environment):
    command = [sys.executable, "-m", "cytomesh", "doctor", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def test_a_problem_is_told_with_a_way_out_and_exit_code_1(tmp_path):
    done = run_doctor(tmp_path, "--json", OMP_NUM_THREADS="4096", PATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    found = {item["subject"]: item for item in json.loads(done.stdout)}
    assert found["threads"]["level"] == "problem" and "4096" in found["threads"]["found"]
    assert found["Workbench"]["level"] == "note"
    assert found["torch and its own"]["level"] == "ok" and found["requirements"]["level"] == "ok"
    assert str(tmp_path) in found["disk"]["found"]
    assert all(item["advice"] for item in found.values() if item["level"] != "ok")
    assert list(tmp_path.iterdir()) == []
