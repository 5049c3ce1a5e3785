"""Ranks: one process or several under torchrun, seen through one small value."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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


@contextmanager
def world(device: str = "auto", threads: int | None = None) -> Iterator[World]:
    """Join the process group that torchrun describes in the environment, or be the only process.

    NCCL on CUDA devices, gloo otherwise. The number of intra-op threads defaults to the processors this process
    may use, shared between the ranks of this machine.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
    threads : int, optional
        Intra-op threads of this rank.
    """
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    has_cuda = device != "cpu" and torch.cuda.is_available()
    place = torch.device("cuda", local_rank) if has_cuda else torch.device("cpu")
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // local_size))
    if has_cuda:
        torch.cuda.set_device(place)
    if size == 1:
        yield World(0, 1, place)
        return
    timeout = timedelta(minutes=30)
    store, rank, size = next(rendezvous("env://", rank, size, timeout=timeout))
    # torchrun --max-restarts hands out one store again and again: ranks must not find the addresses of dead ones there
    attempt = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)  # type: ignore[attr-defined]
    backend = "nccl" if has_cuda else "gloo"
    dist.init_process_group(backend, store=attempt, rank=rank, world_size=size, timeout=timeout)
    try:
        yield World(rank, size, place)
    finally:
        dist.destroy_process_group()
