"""What the control groups of a process allow it: memory and processors' time, as batch systems and containers set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_limit() -> int | None:
    """Return how much memory (bytes) this process and others of its groups may have together; None: no limit."""
    texts = [*_values("memory.max"), *_values("memory.limit_in_bytes", "memory")]
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def processor_quota() -> float | None:
    """Return how many processors' time this process and others of its groups may have together; None: no limit.

    Of version 2 (`cpu.max`: microseconds in a period) and version 1 (`cpu.cfs_quota_us`, -1 for no limit).
    """
    quotas: list[Sequence[str]] = [text.split() for text in _values("cpu.max")]
    quotas += zip(_values("cpu.cfs_quota_us", "cpu"), _values("cpu.cfs_period_us", "cpu"), strict=False)
    known = [[int(word) for word in quota] for quota in quotas if all(word.isdecimal() for word in quota)]
    return min((quota[0] / quota[1] for quota in known if len(quota) == 2 and quota[1] > 0), default=None)


def processors_granted(usable: int) -> int:
    """Return how many of the processors that a process may run on are worth using: no more than its quota is for."""
    quota = processor_quota()
    return usable if quota is None else max(1, min(usable, math.ceil(quota)))


def _values(name: str, controller: str = "") -> Iterator[str]:
    """Yield a limit of the group of this process and of those above it; of version 1 with a controller."""
    lines = OWN_GROUP.read_text().splitlines() if OWN_GROUP.exists() else []
    for _, controllers, own in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controller not in controllers.split(","):
            continue
        root = GROUPS / controllers if controller else GROUPS
        folder = root / own.lstrip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(root) and (place / name).is_file():
                yield (place / name).read_text().strip()
