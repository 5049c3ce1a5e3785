"""Numba kernels of this package, cached on disk wherever some cache folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on first use; keep the machine code in `NUMBA_CACHE_DIR` or beside the source.

    An installation where neither that, nor the package, nor the home folder is writable compiles once a process.
    """
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba's "no locator available": nowhere to write
        compiled = numba.njit(nogil=True)(function)
    return compiled
