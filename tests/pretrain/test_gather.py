"""Gathering rows: order, uneven and empty parts, and the gradient of the sum of all ranks' losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cytomesh.core.distributed import world
from cytomesh.pretrain.gather import gather_rows


def gather_on_rank(folder: Path, sizes: list[int]) -> None:
    with world("cpu", threads=1) as here:
        first = sum(sizes[: here.rank])
        rows = torch.arange(first, first + sizes[here.rank], dtype=torch.float64)[:, None].repeat(1, 2).requires_grad_()
        everything = gather_rows(rows, sizes)
        # rank r's loss weighs row i by (r + 1) * i
        (everything * (here.rank + 1) * torch.arange(len(everything))[:, None]).sum().backward()
        np.savez(folder / f"{here.rank}.npz", everything=everything.detach().numpy(), gradient=rows.grad.numpy())


def test_uneven_and_empty_ranks(gloo, tmp_path):
    sizes = [3, 0, 2]
    gloo(gather_on_rank, 3, tmp_path, sizes)
    expected = np.repeat(np.arange(5.0)[:, None], 2, axis=1)
    gradients = []
    for rank in range(3):
        result = np.load(tmp_path / f"{rank}.npz")
        assert np.array_equal(result["everything"], expected)
        gradients.append(result["gradient"])
    assert [len(part) for part in gradients] == sizes
    assert np.array_equal(np.concatenate(gradients), expected * (1 + 2 + 3))


def test_one_process_keeps_its_rows():
    rows = torch.rand(4, 3)
    assert gather_rows(rows, [4]) is rows
