"""Map the cerebral cortex from microscopy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cytomesh.graph.storage import load_features, load_graphs
    from cytomesh.pretrain.export import load_encoder
    from cytomesh.study.study import open_study

__version__ = "0.1.0"
__all__ = ["load_encoder", "load_features", "load_graphs", "open_study"]

_HOMES = {
    "load_encoder": "cytomesh.pretrain.export",
    "load_features": "cytomesh.graph.storage",
    "load_graphs": "cytomesh.graph.storage",
    "open_study": "cytomesh.study.study",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; `import cytomesh` must not.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cytomesh' has no attribute '{name}'")
