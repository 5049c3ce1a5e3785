"""Seeds: independent, named random streams from one integer."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for one named purpose.

    Streams of different names are independent, so adding a consumer never changes the numbers of another.
    """
    return np.random.default_rng(_sequence(seed, names))


def derived_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit integer seed for one named purpose, for libraries that want an integer."""
    return int(_sequence(seed, names).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def isolated_seed(seed: int, *names: str | int) -> Iterator[None]:
    """Seed the states that third-party code draws from - Python's, NumPy's legacy one, torch's on all devices.

    On leaving, they are what they were before, whatever was drawn or seeded within.
    """
    import torch

    value = derived_seed(seed, *names)
    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    is_on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = torch.cuda.get_rng_state_all() if is_on_gpu else []
    first = torch.initial_seed()
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 (scikit-learn and trimesh draw from it)
    torch.manual_seed(value)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if is_on_gpu:
            torch.cuda.set_rng_state_all(devices)
        else:  # not in use before: it would have begun with the CPU's seed
            torch.cuda.manual_seed_all(first)


def _sequence(seed: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    words = [int.from_bytes(hashlib.sha256(str(name).encode()).digest()[:4], "little") for name in names]
    return np.random.SeedSequence([seed, *words])
