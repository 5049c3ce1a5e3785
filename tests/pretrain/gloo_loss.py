"""One rank of `test_loss.py`: a linear encoder under DDP, its share of a batch, loss and gradients into an npz."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from pretrain_cases import all_terms, random_batch, random_inputs, shares
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from cytomesh.core.distributed import world
from cytomesh.pretrain.loss import Outputs, batch_loss
from cytomesh.pretrain.objectives.base import Contrastive
from cytomesh.pretrain.objectives.supervised import Supervised


def main(folder: Path, n: int) -> None:
    """Every objective in double and single precision, with equal and uneven shares."""
    results = {}
    with world("cpu", threads=1) as here:
        for dtype in (torch.float64, torch.float32):
            batch, x = random_batch(n, dtype=dtype), random_inputs(n, dtype=dtype)
            encoder = torch.nn.Linear(x.shape[1], 8, bias=False, dtype=dtype)
            torch.nn.init.orthogonal_(encoder.weight, generator=torch.Generator().manual_seed(1))
            model = DistributedDataParallel(encoder) if here.size > 1 else encoder
            for is_uneven in (False, True):
                rows = shares(n, here.size, is_uneven)
                for term in all_terms():
                    encoder.zero_grad(set_to_none=True)
                    raw = model(x[rows[here.rank]])
                    is_supervised = isinstance(term.objective, Supervised)
                    outputs = Outputs(logits=raw) if is_supervised else Outputs(functional.normalize(raw, dim=1))
                    sizes = [part.stop - part.start for part in rows]
                    value = batch_loss(outputs, batch, sizes, here.rank, [term], chunk_elements=40)
                    value.for_backward.backward()
                    case = f"{term.name}/{dtype}/{'uneven' if is_uneven else 'even'}"
                    results[f"{case}/loss"] = value.mean[term.name].numpy()
                    results[f"{case}/anchors"] = value.n_anchors[term.name].numpy()
                    results[f"{case}/gradient"] = encoder.weight.grad.numpy().copy()
                    if isinstance(term.objective, Contrastive):
                        encoder.zero_grad(set_to_none=True)
                        mine = batch[rows[here.rank]]
                        places = {item.name: getattr(mine, item.name) for item in fields(mine)}
                        term.objective(model(x[rows[here.rank]]), temperature=term.temperature, **places).backward()
                        results[f"{case}/called"] = encoder.weight.grad.numpy().copy()
        np.savez(folder / f"rank-{here.rank}.npz", **results)
