"""Features of many patches: batches of so many pixels, read ahead by some threads and encoded beside them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytomesh.core.parallel import map_ahead

T = TypeVar("T")

BATCH = 256
"""Most patches encoded together where no gradient is needed."""
BATCH_PX = {"cpu": 2**22, "cuda": 2**24}
"""Most pixels encoded together: on a CPU 256 patches of 128 px or one of 2,048, for which a ResNet50 needs 0.85 GB, or
0.15 GB behind the strided stem. More would gain a CPU nothing; one such patch would not fill a GPU."""


def batch_slices(n: int, size_px: int, device: torch.device, at_most: int = BATCH) -> list[slice]:
    """Cut n patches of a side into batches of at most so many patches and of `BATCH_PX`, of one patch if it is larger.

    What is encoded together depends on nothing else, and so neither do the features.
    """
    rows = max(1, min(at_most, BATCH_PX[device.type] // size_px**2))
    return [slice(first, min(first + rows, n)) for first in range(0, n, rows)]


def computing_threads(size_px: int, device: torch.device, n_cpus: int) -> int:
    """Return how many batches are encoded at once: one on a GPU; on a CPU one a processor, by one intra-op thread each.

    Fewer where a patch has more than `BATCH_PX`: the pixels at work, and so the memory, stay within that a processor.
    One batch by all intra-op threads would need less memory, but features would depend on their number: some
    convolutions then sum in another order.
    """
    if device.type != "cpu":
        return 1
    return max(1, min(n_cpus, n_cpus * BATCH_PX["cpu"] // size_px**2))


def encode_patches(
    encode: Callable[[Tensor], Tensor],
    read: Callable[[T], NDArray[np.uint8]],
    batches: Iterable[T],
    *,
    readers: int,
    computers: int = 1,
) -> Generator[Tensor, None, None]:
    """Yield the features of batches, in order.

    Parameters
    ----------
    encode : callable
        (n, c, s, s) uint8 to (n, d); whether it records gradients is its own affair in threads of its own.
    read : callable
        What stands for a batch, to its (n, c, s, s) uint8 patches; called by several threads.
    batches : iterable
    readers : int
        Threads that read ahead: up to twice as many batches wait, as uint8.
    computers : int
        Threads that encode, see `computing_threads`; one is the calling thread, with all its intra-op threads.
    """

    def run(patches: NDArray[np.uint8]) -> Tensor:
        return encode(torch.from_numpy(patches))

    with closing(map_ahead(read, batches, readers)) as patches:
        if computers == 1:
            yield from map(run, patches)
            return
        with closing(map_ahead(run, patches, computers)) as features:
            yield from features
