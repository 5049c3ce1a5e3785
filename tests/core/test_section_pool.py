"""Sections over local processes, some of which are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cytomesh.core.errors import WorkerError
from cytomesh.core.sections import SectionTask, map_sections
from tests.core import section_work as work

ROOT = Path(__file__).parents[2]


def tasks(n=7):
    return [SectionTask(f"s{i}", i) for i in range(n)]


def test_order_is_kept_and_each_worker_has_one_thread():
    assert [n for _, n in map_sections(work.square, tasks(), doing="test", workers=2)] == [n * n for n in range(7)]
    found = [result for _, result in map_sections(work.threads_and_process, tasks(), doing="test", workers=2)]
    assert {(threads, variable) for threads, variable, _ in found} == {(1, "1")}
    processes = {process for *_, process in found}
    assert os.getpid() not in processes and 1 <= len(processes) <= 2


def test_a_killed_worker_loses_nothing(tmp_path):
    jobs = [SectionTask(f"s{n}", (tmp_path, n), output=tmp_path / f"{n}.txt") for n in range(7)]
    assert [n for _, n in map_sections(work.die_once, jobs, doing="test", workers=2)] == list(range(7))
    assert (tmp_path / "died").exists() and not list(tmp_path.glob(".*"))
    assert all(path.read_text() == "whole" for path in tmp_path.glob("*.txt"))


def test_a_section_that_kills_each_worker_is_named_and_no_other():
    left_out = {}
    found = map_sections(work.die_always, tasks(), doing="test", workers=2, left_out=left_out)
    assert [n for _, n in found] == [0, 1, 3, 4, 5, 6]
    assert isinstance(left_out["s2"], WorkerError) and "each of the 3 times" in str(left_out["s2"])


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_with_a_program_that_is_interrupted_or_killed(tmp_path):
    code = (
        "import signal\n"
        "from pathlib import Path\n"
        "from cytomesh.core.sections import SectionTask, map_sections\n"
        "from tests.core.section_work import wait_long\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells ignore it for jobs in the background
        "    jobs = [SectionTask(str(n), (Path({!r}), n)) for n in range(4)]\n"
        "    list(map_sections(wait_long, jobs, doing='test', workers=2))\n"
    )
    for number in (signal.SIGINT, signal.SIGKILL):
        folder = tmp_path / number.name
        folder.mkdir()
        program = folder / "program.py"
        program.write_text(code.format(str(folder)))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, program], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while len(list(folder.glob("*.pid"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: to all of them
        else:
            process.kill()
        _, err = process.communicate(timeout=30)
        assert process.returncode != 0
        assert "Process Spawn" not in err and err.count("Traceback") <= 2  # the program's own, of its two generators
        workers = [int(path.stem) for path in folder.glob("*.pid")]
        deadline = time.monotonic() + 20
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(workers) == 2 and not any(map(alive, workers))
