"""Sections over a Dask cluster: real scheduler, real workers, on the loopback."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cytomesh.core import dask_sections
from cytomesh.core.errors import ClusterError, ContourError, WorkerError
from cytomesh.core.section_log import SectionLog
from cytomesh.core.sections import SectionTask, map_sections
from tests.core import section_work as work
from tests.dask_cluster import DaskCluster
from tests.processes import free_port

ROOT = Path(__file__).parents[2]


def tasks(n=7):
    return [SectionTask(f"s{i}", i) for i in range(n)]


def over(cluster, function, jobs=None, **options):
    found = map_sections(
        function, jobs or tasks(), doing="test", scheduler=cluster.address, **{"seen": cluster.file, **options}
    )
    return [result for _, result in found]


def test_the_same_as_here_in_order(dask_cluster):
    local = [n for _, n in map_sections(work.square, tasks(), doing="test", workers=1)]
    assert over(dask_cluster, work.square) == local == [n * n for n in range(7)]


def test_workers_have_one_thread_and_their_lines_reach_the_user(dask_cluster, capsys):
    found = over(dask_cluster, work.threads_and_process, tasks(12))
    assert {(threads, variable) for threads, variable, _ in found} == {(1, "1")}
    assert {process for *_, process in found} <= {worker.pid for worker in dask_cluster.workers}
    assert capsys.readouterr().err.count("seen from afar") == 12


def test_bad_sections_and_bugs(dask_cluster):
    with pytest.raises(ContourError, match=r"s2\.geojson"):
        over(dask_cluster, work.square_or_fail)
    left_out = {}
    assert over(dask_cluster, work.square_or_fail, left_out=left_out) == [0, 1, 9, 16, 36]
    assert list(left_out) == ["s2", "s5"]
    with pytest.raises(ZeroDivisionError):
        over(dask_cluster, work.bug, left_out={})


def test_states_are_kept_as_here(dask_cluster, tmp_path):
    jobs = [SectionTask(f"s{i}", (tmp_path / f"{i}.txt", "x" * i), "key", tmp_path / f"{i}.txt") for i in range(4)]
    for _ in range(2):
        found = map_sections(
            work.write, jobs, doing="test", scheduler=dask_cluster.address, states=SectionLog(tmp_path)
        )
        assert [n for _, n in found] == [0, 1, 2, 3]
    assert all(path.read_text() == "x" for path in tmp_path.glob("*.calls"))
    assert {state.attempts for state in SectionLog(tmp_path).states.values()} == {1}


def test_workers_that_see_other_files_are_named(dask_cluster, tmp_path, monkeypatch):
    witness = dask_sections.Witness
    absent = witness(tmp_path / "gone.yaml", b"study")
    other = witness(dask_cluster.file, b"of another machine")
    assert not absent.is_seen() and not other.is_seen() and witness.of(dask_cluster.file).is_seen()
    monkeypatch.setattr(witness, "of", lambda path: absent)
    with pytest.raises(ClusterError, match=r"worker tcp://127\.0\.0\.1:\d+ on .*gone\.yaml.*under the same path"):
        over(dask_cluster, work.square)


def test_other_versions_are_named(dask_cluster, monkeypatch):
    real = dask_sections.own_versions()
    monkeypatch.setattr(dask_sections, "own_versions", lambda: {**real, "cytomesh": "9.9"})
    with pytest.raises(ClusterError, match=r"scheduler tcp.*cytomesh \S+ \(here 9\.9\).*environment"):
        over(dask_cluster, work.square)


def test_what_is_no_scheduler(dask_cluster, monkeypatch):
    monkeypatch.setattr(dask_sections, "CONNECT_S", 1)

    def fails(address, words):
        with pytest.raises(ClusterError, match=words):
            list(map_sections(work.square, tasks(), doing="test", scheduler=address, seen=dask_cluster.file))

    fails(f"tcp://127.0.0.1:{free_port()}", "expected a Dask scheduler.*dask scheduler")
    fails("nonsense", "missing port number")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fails(f"tcp://127.0.0.1:{server.server_port}", "expected a Dask scheduler")
        server.shutdown()


def test_a_killed_worker_loses_nothing_and_one_that_joins_helps(own_dask_cluster, tmp_path):
    jobs = [SectionTask(f"s{n}", (tmp_path, n), output=tmp_path / f"{n}.txt") for n in range(12)]
    assert over(own_dask_cluster, work.die_once, jobs) == list(range(12))
    assert (tmp_path / "died").exists() and not list(tmp_path.glob(".*"))
    assert all(path.read_text() == "whole" for path in tmp_path.glob("*.txt"))
    own_dask_cluster.workers.append(own_dask_cluster.add_worker())
    for _ in range(4):
        own_dask_cluster.workers.append(own_dask_cluster.add_worker())
    left_out = {}
    assert over(own_dask_cluster, work.die_always, left_out=left_out) == [0, 1, 3, 4, 5, 6]
    assert isinstance(left_out["s2"], WorkerError) and "each of the 5 times" in str(left_out["s2"])


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_cluster_that_gives_up_at_the_first_death_names_the_killer(tmp_path):
    cluster = DaskCluster(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    try:
        cluster.workers.append(cluster.add_worker())
        left_out = {}
        assert over(cluster, work.die_always, left_out=left_out) == [0, 1, 3, 4, 5, 6]
        assert isinstance(left_out["s2"], WorkerError) and "each of the 2 times" in str(left_out["s2"])
    finally:
        cluster.stop()


def test_an_interrupted_program_ends_at_once(own_dask_cluster, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import signal\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # shells ignore it for jobs in the background
        "from cytomesh.core.sections import SectionTask, map_sections\n"
        "from tests.core.section_work import wait_long\n"
        f"jobs = [SectionTask(str(n), (Path({str(tmp_path)!r}), n)) for n in range(4)]\n"
        f"where = {{'scheduler': {own_dask_cluster.address!r}, 'seen': Path({str(program)!r})}}\n"
        "list(map_sections(wait_long, jobs, doing='test', **where))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, program], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.pid")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0 and err.rstrip().endswith("KeyboardInterrupt")


def test_a_scheduler_that_dies_is_named(own_dask_cluster, monkeypatch):
    monkeypatch.setattr(dask_sections, "CONNECT_S", 1)
    done = map_sections(
        work.square, tasks(40), doing="test", scheduler=own_dask_cluster.address, seen=own_dask_cluster.file
    )
    next(done)
    own_dask_cluster.kill_scheduler()
    with pytest.raises(ClusterError, match="the scheduler is gone.*what is done is kept"):
        list(done)
