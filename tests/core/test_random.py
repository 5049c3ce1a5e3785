import numpy as np
import torch

from cytomesh.core.random import derived_seed, generator, seed_everything


def test_streams_are_repeatable_and_independent_by_name():
    a = generator(1, "links", 3).normal(size=4)
    np.testing.assert_array_equal(a, generator(1, "links", 3).normal(size=4))
    others = [generator(1, "links", 4), generator(1, "areas", 3), generator(2, "links", 3)]
    assert all(not np.array_equal(a, other.normal(size=4)) for other in others)


def test_seeds_fit_every_library():
    assert 0 <= derived_seed(7, "x") < 2**63


def test_seed_everything_reaches_torch():
    seed_everything(5, "train")
    a = torch.randn(3)
    seed_everything(5, "train")
    assert torch.equal(a, torch.randn(3))
