"""Seeds: independent, named random streams from one integer."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a NumPy generator for one named purpose.

    Streams of different names are independent, so adding a consumer never changes the numbers of another.
    """
    return np.random.default_rng(_sequence(seed, names))


def derived_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit integer seed for one named purpose, for libraries that want an integer."""
    return int(_sequence(seed, names).generate_state(1, np.uint64)[0] >> 1)


def seed_everything(seed: int, *names: str | int) -> None:
    """Seed Python, NumPy's legacy state and torch (all devices): third-party code draws from these."""
    import torch

    value = derived_seed(seed, *names)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 (scikit-learn and trimesh draw from it)
    torch.manual_seed(value)


def _sequence(seed: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    words = [int.from_bytes(hashlib.sha256(str(name).encode()).digest()[:4], "little") for name in names]
    return np.random.SeedSequence([seed, *words])
