"""Settings that had another name before version 0.2: read for one more release, with a word on the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cytomesh.core.progress import warn

SETTINGS = {"surroundings": "crf", "proportions": "label_shift", "types": "feature_clusters"}
"""Groups of settings of `classify` and `parcellate`."""
METHODS = {"types": "feature_clusters"}
"""Values of `method` and `evaluation.baselines` of `parcellate`."""


def say_renamed(old: str, new: str) -> None:
    """Say once more what something is called now."""
    warn(f"'{old}' is now called '{new}'; the next version will no longer read the old name")


def current_names(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat settings ("group.name" to value) of a stored result by the names that they have now."""
    found = {}
    for name, value in flat.items():
        group, dot, rest = name.partition(".")
        found[SETTINGS.get(group, group) + dot + rest] = value
    if "method" in found:
        found["method"] = METHODS.get(found["method"], found["method"])
        found["evaluation.baselines"] = [METHODS.get(name, name) for name in found.get("evaluation.baselines", [])]
    return found
