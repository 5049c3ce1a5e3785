"""Results of analyses: all lie in one folder, so that a name belongs to one command."""

from __future__ import annotations

from pathlib import Path

from cytomesh.core.errors import ConfigError, CytomeshError
from cytomesh.core.files import read_object
from cytomesh.core.run import Product, product

COMMANDS = {"layers": "segment-layers"}
"""Commands by the kind of their results, where the two are not called the same."""


def analysis_product(run: Path, name: str, kind: str) -> Product:
    """Return the product `analyze/<name>`, for a result of some kind.

    Raises
    ------
    ConfigError
        If a result of another command has this name: it would be replaced.
    """
    made = product(run, "analyze", name)
    try:
        there = read_object(made.folder / "metrics.json").get("kind", kind)
    except CytomeshError:  # none yet, or a damaged one, which is made again
        return made
    if there != kind:
        found = f"a result of 'cytomesh {COMMANDS.get(there, there)}' of this name"
        hint = f"choose another name, or remove {made.folder}"
        raise ConfigError("--name", name, found=found, expected="a name of its own", hint=hint)
    return made
