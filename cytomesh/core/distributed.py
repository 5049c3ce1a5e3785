"""Ranks: one process or several under torchrun, seen through one small value."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

from cytomesh.core.errors import ConfigError
from cytomesh.core.parallel import available_cpus

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """This process among its peers."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this rank writes the files that exist once."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all ranks; nothing to wait for in one process."""
        import torch.distributed as dist

        if self.size > 1:
            dist.barrier()

    def told(self, flag: bool) -> bool:
        """Return what the main rank says; the others' own word does not count."""
        import torch
        import torch.distributed as dist

        if self.size == 1:
            return flag
        word = torch.tensor([int(flag)], device=self.device)
        dist.broadcast(word, src=0)
        return bool(word.item())

    def given(self, value: T) -> T:
        """Return what the main rank has, a small value; the others' own does not count."""
        import torch.distributed as dist

        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]


def find_device(device: Device, local_rank: int = 0) -> torch.device:
    """Return the device that a setting stands for, on the rank with this number on its machine.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        `auto`: a CUDA device where there is one, else the CPU.

    Raises
    ------
    ConfigError
        If a CUDA device is asked for and there is none, or there are fewer of them than ranks.
    """
    import torch

    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        hint = "set device: auto, which takes the CPU where there is no GPU, or device: cpu"
        raise ConfigError(f"device: {device}", found="no CUDA device", expected="at least one", hint=hint)
    if local_rank >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} CUDA device(s) and rank {local_rank} on this machine"
        hint = "start no more ranks than devices (--nproc-per-node), or set device: cpu"
        raise ConfigError(f"device: {device}", found=found, expected="a device for each rank", hint=hint)
    return torch.device("cuda", local_rank)


@contextmanager
def world(device: Device = "auto", threads: int | None = None) -> Iterator[World]:
    """Join the process group that torchrun describes in the environment, or be the only process.

    NCCL on CUDA devices, gloo otherwise. The number of intra-op threads defaults to OMP_NUM_THREADS, or the processors
    that this process may use, shared between the ranks of this machine; on leaving, it is what it was before, as is the
    current device.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        See `find_device`.
    threads : int, optional
        Intra-op threads of this rank.

    Raises
    ------
    ConfigError
        If there is no such device.
    """
    import torch

    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    place = find_device(device, local_rank)
    # of several ranks, torchrun has set the variable to 1, whatever there is
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0] if local_size == 1 else ""
    n_threads = threads or (int(asked) if asked.isdecimal() else 0) or max(1, available_cpus() // local_size)
    has_cuda = place.type == "cuda"
    current = torch.cuda.device(place) if has_cuda else nullcontext()
    with intra_op_threads(n_threads), current, _process_group(rank, size, "nccl" if has_cuda else "gloo") as ranks:
        yield World(*ranks, place)


@contextmanager
def _process_group(rank: int, size: int, backend: str) -> Iterator[tuple[int, int]]:
    """Meet the other ranks, if there are any; yield this one's number and how many there are."""
    if size == 1:
        yield 0, 1
        return
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    timeout = timedelta(minutes=30)
    store, rank, size = next(rendezvous("env://", rank, size, timeout=timeout))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # torchrun hands out one store again and again: ranks must not find the addresses of dead ones there. Machines
        # that joined later count other attempts: where they may, torchrun is not to share its store (see the README)
        store = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    try:
        yield rank, size
    finally:
        dist.destroy_process_group()


@contextmanager
def intra_op_threads(n_threads: int) -> Iterator[None]:
    """Let torch compute with so many threads: some convolutions sum in an order that depends on their number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
