"""What torch says of itself and of its devices, asked in a process of its own.

A torch that does not fit the machine may end the process that imports it: then that is the answer.
"""

from __future__ import annotations

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import Any

GIB = 2**30
WITH_TORCH = ("torchvision", "timm", "torch_geometric")
"""Packages that are made for certain versions of torch."""


def torch_facts() -> dict[str, Any]:
    """Import torch and what is made for it; let each device, and NCCL, compute something.

    Returns
    -------
    dict
        `faults` (package to what its import said) and, if torch can be imported: `cuda` (version that it was built
        with, or None), `warnings` of its look for devices, `devices` (`name`, `gib`, `free_gib`, `fault`), `nccl`
        (version, or empty without devices) and `nccl_fault`.
    """
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_ask_torch).result()
    except BrokenProcessPool:
        return {"faults": {"torch": "the process that imports it ends at once"}}


def _ask_torch() -> dict[str, Any]:
    faults: dict[str, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("torch", *WITH_TORCH):
            try:
                import_module(name)
            except Exception as error:  # whatever a broken package raises is the finding
                faults[name] = f"{type(error).__name__}: {error}"
            if "torch" in faults:
                return {"faults": faults}
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_nccl = count > 0 and torch.distributed.is_nccl_available()
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if has_nccl else ""  # type: ignore[no-untyped-call]
    return {
        "faults": faults,
        "cuda": torch.version.cuda,
        "warnings": [str(item.message).partition("\n")[0] for item in said],
        "devices": [_device_facts(number) for number in range(count)],
        "nccl": nccl,
        "nccl_fault": _fault_of_group("nccl", "cuda:0") if nccl else "",
    }


def _device_facts(number: int) -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(number)
    facts = {"name": properties.name, "gib": properties.total_memory / GIB, "free_gib": 0.0, "fault": ""}
    try:
        ones = torch.ones(64, 64, device=f"cuda:{number}")
        facts["fault"] = "" if float((ones @ ones).sum()) == 64**3 else "it computes wrong numbers"
        facts["free_gib"] = torch.cuda.mem_get_info(number)[0] / GIB
    except RuntimeError as error:  # no kernels for this device, or it is in use
        facts["fault"] = str(error).partition("\n")[0]
    return facts


def _fault_of_group(backend: str, device: str) -> str:
    """Let one rank sum over itself; return what keeps it from that."""
    import torch
    import torch.distributed as dist

    store = dist.HashStore()  # type: ignore[attr-defined]
    try:
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
        one = torch.ones(1, device=device)
        dist.all_reduce(one)
        return "" if float(one) == 1.0 else "it sums to wrong numbers"
    except (RuntimeError, ValueError) as error:
        return str(error).partition("\n")[0]
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
