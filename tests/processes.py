"""Processes of their own that begin with everything imported: each is forked from one that has, which saves seconds."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "torch.nn.parallel",
        "torch.distributed",
        "matplotlib.pyplot",
        "cytomesh.cli.app",
        "cytomesh.graph.build",
        "cytomesh.pretrain.run",
        "cytomesh.pretrain.embed",
        "cytomesh.classify.run",
        "cytomesh.parcellate.run",
        "cytomesh.report.run",
        "tests.phantom_template",
    ]
)
Process = multiprocessing.context.ForkServerProcess
# Nothing that tests write has to survive a power cut, and for much of their time they would wait for the disk: neither
# their processes nor those forked from here do.
os.fsync = lambda descriptor: None


def start_program(errors: Path, *words: object, **environment: str) -> Process:
    """Start `cytomesh WORDS` as a process; what it says on standard error goes to a file, the rest nowhere."""
    return start_programs(errors, None, words, **environment)


def start_programs(errors: Path, site: Path | None, *commands: Sequence[object], **environment: str) -> Process:
    """Start commands in turn, up to the first that fails, with the packages that are installed in a folder."""
    words = [[str(word) for word in command] for command in commands]
    process = CONTEXT.Process(target=run_programs, args=(errors, site, words, environment))
    process.start()
    return process


def run_programs(errors: Path, site: Path | None, commands: list[list[str]], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    _use(site)
    from cytomesh.cli.app import main

    with errors.open("w") as stream, open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(stream.fileno(), 2)
        os.dup2(nowhere.fileno(), 1)
        for words in commands:
            try:
                main(words)
            except SystemExit as stop:
                if stop.code:
                    raise


def start_torchrun(errors: Path, options: Sequence[object], *words: object, **environment: str) -> Process:
    """Start `torchrun OPTIONS -m cytomesh WORDS`: a real agent, whose ranks are forked from it with all imported."""
    texts = [[str(word) for word in some] for some in (options, words)]
    process = CONTEXT.Process(target=_torchrun, args=(errors, *texts, environment))
    process.start()
    return process


def _torchrun(errors: Path, options: list[str], words: list[str], environment: dict[str, str]) -> None:
    os.setsid()
    os.environ.update(environment)
    with errors.open("w") as stream:
        os.dup2(stream.fileno(), 2)
    be_torchrun(options, words)


def be_torchrun(options: list[str], words: list[str]) -> None:
    """Be `torchrun OPTIONS -m cytomesh WORDS`, with ranks that are forked from this process."""
    from torch.distributed.launcher.api import elastic_launch
    from torch.distributed.run import config_from_args, parse_args

    os.environ["OMP_NUM_THREADS"] = "1"
    arguments = parse_args([*options, "-m", "cytomesh"])
    if arguments.standalone:  # as torch.distributed.run.run has it
        arguments.rdzv_backend, arguments.rdzv_endpoint, arguments.rdzv_id = "c10d", "localhost:0", "alone"
    config, *_ = config_from_args(arguments)
    config.start_method = "fork"
    elastic_launch(config, _rank_of_torchrun)(words)


def _rank_of_torchrun(words: list[str]) -> None:
    from cytomesh.cli.app import main

    try:
        main(words)
    except SystemExit as stop:
        if stop.code:
            raise


def children(process: Process) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _use(site: Path | None) -> None:
    """Look for packages in a folder, too; plug-ins once settings are imported: as if nothing of cytomesh had been."""
    if site:
        sys.path.insert(0, str(site))
        for name in [name for name in sys.modules if name.partition(".")[0] == "cytomesh"]:
            del sys.modules[name]


def run_module(module: str, *words: object, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS`, with the packages that are installed in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output.txt", Path(folder) / "errors.txt"
        process = CONTEXT.Process(target=_module, args=(output, errors, site, module, [str(word) for word in words]))
        process.start()
        process.join()
        return subprocess.CompletedProcess(module, process.exitcode or 0, output.read_text(), errors.read_text())


def _module(output: Path, errors: Path, site: Path | None, module: str, words: list[str]) -> None:
    _use(site)
    sys.argv = [module, *words]
    with output.open("w") as out, errors.open("w") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.stdout.flush()


def run_apart(function: Callable[[], object]) -> None:
    """Run a function in a process of its own."""
    process = CONTEXT.Process(target=function)
    process.start()
    process.join()
    assert process.exitcode == 0


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
