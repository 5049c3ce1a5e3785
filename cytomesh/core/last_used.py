"""What was used last is kept, up to a limit; several threads that want the same wait for one that makes it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _one(_: object) -> int:
    return 1


class LastUsed(Generic[K, V]):
    """Values by key, those used last.

    Parameters
    ----------
    capacity : int
        Sizes of the values that are kept add up to at most this; the last one is kept whatever its size.
    size : callable
        Of a value; 1 unless given, so that `capacity` counts values.
    """

    def __init__(self, capacity: int, size: Callable[[V], int] = _one) -> None:
        self.capacity = capacity
        self._size = size
        self._kept: OrderedDict[K, Future[V]] = OrderedDict()
        self._sizes: dict[K, int] = {}
        self._total = 0
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made by the first thread that asks for it; what `make` raises, all of them see."""
        with self._lock:
            value = self._kept.get(key)
            is_mine = value is None
            if value is None:
                value = self._kept[key] = Future()
            self._kept.move_to_end(key)
        if is_mine:  # without the lock: others want theirs meanwhile
            try:
                value.set_result(make())
            except BaseException as failure:
                value.set_exception(failure)
                with self._lock:
                    self._forget(key, value)
                raise
            self._keep(key, value)
        return value.result()

    def _keep(self, key: K, value: Future[V]) -> None:
        """Count a value that has been made, and let go of those not used for longest."""
        with self._lock:
            if self._kept.get(key) is value:
                self._sizes[key] = self._size(value.result())
                self._total += self._sizes[key]
            while self._total > self.capacity and len(self._kept) > 1:
                oldest = next(iter(self._kept))
                self._forget(oldest, self._kept[oldest])

    def _forget(self, key: K, value: Future[V]) -> None:
        if self._kept.get(key) is value:
            del self._kept[key]
            self._total -= self._sizes.pop(key, 0)
