"""Real processes and real sockets for what runs on several ranks."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pretrain_cases, here and in the processes of the ranks

Gloo = Callable[..., None]

# One process imports torch, and every rank is forked from it: seconds saved a rank, and still a process of its own.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch", "torch.nn.parallel", "torch.distributed", "cytomesh.pretrain.embed"])


@pytest.fixture
def gloo() -> Gloo:
    """Run `function(*arguments)` in `size` real gloo processes, with the environment that torchrun gives them."""

    def run(function: Callable[..., None], size: int, *arguments: object, timeout: float = 120.0) -> None:
        port = free_port()
        ranks = [CONTEXT.Process(target=rank_main, args=(r, size, port, function, arguments)) for r in range(size)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(timeout)
        codes = [process.exitcode for process in ranks]
        for process in ranks:
            process.kill()
        assert codes == [0] * size

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ranks of one machine talk over its loopback; no other test has sockets."""
    for item in items:
        if "gloo" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


def rank_main(rank: int, size: int, port: int, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(size),
        LOCAL_WORLD_SIZE=str(size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    function(*arguments)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
