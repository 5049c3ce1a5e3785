"""A Dask scheduler and workers, real processes on the loopback, as a user would start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOOPBACK = ["--host", "127.0.0.1"]


class DaskCluster:
    """A scheduler and two workers of one thread each.

    Parameters
    ----------
    folder : Path
        For the scheduler file and the logs.
    **environment : str
        Of the scheduler.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        port = ["--port", "0", "--dashboard-address", "127.0.0.1:0"]
        self._scheduler = self._start("scheduler", *port, "--scheduler-file", self.file, **environment)
        self._wait_for(self.file)
        self.workers = [self.add_worker() for _ in range(2)]

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        return str(json.loads(self.file.read_text())["address"])

    def add_worker(self, **environment: str) -> subprocess.Popen[Any]:
        """Start a worker; without a nanny, which would start a killed one again."""
        words = ["--scheduler-file", self.file, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        return self._start("worker", *words, **environment)

    def kill_scheduler(self) -> None:
        """Let the scheduler die."""
        self._scheduler.send_signal(signal.SIGKILL)
        self._scheduler.wait()

    def stop(self) -> None:
        """End all processes."""
        for process in [*self.workers, self._scheduler]:
            process.kill()
            process.wait()

    def _start(self, what: str, *words: object, **environment: str) -> subprocess.Popen[Any]:
        command = [sys.executable, "-m", "dask", what, *map(str, words), *LOOPBACK]
        path = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False"}
        with (self.folder / f"{what}-{time.monotonic_ns()}.log").open("w") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **path, **environment}
            )

    def _wait_for(self, path: Path) -> None:
        deadline = time.monotonic() + 60
        while not (path.is_file() and path.read_text().endswith("}")):
            assert time.monotonic() < deadline and self._scheduler.poll() is None
            time.sleep(0.05)
