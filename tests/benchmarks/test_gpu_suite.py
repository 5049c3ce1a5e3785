"""The GPU's benchmark works where there is none, and says what it skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.common import Options, table
from benchmarks.gpu.suite import measure


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_quick_form_on_a_cpu():
    result = measure(Options(Path(), quick=True))
    names = [row[0] for row in result.rows]
    parts = ("pretrain, 32 px", "pretrain, 64 px, strided", "DDP", "embed", "GAT")
    assert all(any(name.startswith(part) for name in names) for part in parts)
    assert all(row[1] > 0 and row[4] > 0 for row in result.rows)
    assert "skipped: bfloat16" in result.claim
    assert "no CUDA device" in table(result)
