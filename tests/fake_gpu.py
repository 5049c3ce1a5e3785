"""A CUDA device without a GPU: tensors that have shapes, types and a device, but no values.

Under torch's FakeTensorMode operations on tensors of different devices fail as they would on a GPU, and so does what
would have to wait for one: to read a number, or to list what a mask chooses. Backward passes, streams and generators
are not to be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Copies(TorchDispatchMode):
    """Count what is copied from one device to another."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = operation(*arguments, **(options or {}))
        if operation in COPIES:
            source = arguments[1] if operation is COPIES[1] else arguments[0]
            self.n += source.device != result.device
        return result


@contextmanager
def fake_gpu() -> Iterator[FakeTensorMode]:
    """Compute with tensors without values; CPU tensors that are made meanwhile have none either."""
    # constants, such as a NumPy array that is wrapped, are taken in
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def onto_gpu(mode: FakeTensorMode, module: nn.Module) -> None:
    """Move a module of real tensors to the GPU, in place: `Module.to` does not know tensors without values."""
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            part._parameters[name] = nn.Parameter(_moved(mode, value.detach()), requires_grad=value.requires_grad)
        for name, value in part.named_buffers(recurse=False):
            part._buffers[name] = _moved(mode, value)


def _moved(mode: FakeTensorMode, value: Tensor) -> Tensor:
    fake = mode.from_tensor(value)
    with mode:
        return fake.to(CUDA)
