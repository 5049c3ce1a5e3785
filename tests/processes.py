"""Processes of their own that begin with everything imported: each is forked from one that has, which saves seconds."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "torch.nn.parallel",
        "torch.distributed",
        "cytomesh.cli.app",
        "cytomesh.graph.build",
        "cytomesh.pretrain.run",
        "cytomesh.pretrain.embed",
        "cytomesh.classify.run",
        "cytomesh.parcellate.run",
    ]
)
Process = multiprocessing.context.ForkServerProcess


def start_program(errors: Path, *words: object) -> Process:
    """Start `cytomesh WORDS` as a process; what it says on standard error goes to a file, the rest nowhere."""
    process = CONTEXT.Process(target=_program, args=(errors, [str(word) for word in words]))
    process.start()
    return process


def _program(errors: Path, words: list[str]) -> None:
    from cytomesh.cli.app import main

    with errors.open("w") as stream, open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(stream.fileno(), 2)
        os.dup2(nowhere.fileno(), 1)
        main(words)


def run_ranks(function: Callable[..., None], size: int, *arguments: object, timeout: float = 120.0) -> None:
    """Run `function(*arguments)` in `size` gloo processes, with the environment that torchrun gives them."""
    port = free_port()
    ranks = [CONTEXT.Process(target=_rank, args=(r, size, port, function, arguments)) for r in range(size)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout)
    codes = [process.exitcode for process in ranks]
    for process in ranks:
        process.kill()
    assert codes == [0] * size


def _rank(rank: int, size: int, port: int, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
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
    """Return a port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
