"""Which manifest each imported graph is from, and which graphs their manifest has no more."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cytomesh.core.config import read_yaml, validate
from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.provenance import find, place
from cytomesh.graph.import_config import OwnSurfaces

MANIFESTS = "manifests.json"
"""In `graphs/` of a run: name of a graph to the place of the manifest that it was last imported from."""


def read_manifest(path: Path) -> OwnSurfaces:
    """Read the manifest of `graph import`.

    Raises
    ------
    StudyError
        If it is none.
    """
    return validate(OwnSurfaces, read_yaml(path, StudyError), str(path), StudyError)


def keep_manifest(run: Path, manifest: Path, names: Iterable[str]) -> None:
    """Remember that graphs were imported from a manifest; those of other manifests stay with theirs."""
    here = {name: where for name, where in _known(run).items() if (run / "graphs" / name).is_dir()}
    write_json(run / "graphs" / MANIFESTS, here | dict.fromkeys(names, place(manifest, run)))


def graphs_without_entry(run: Path) -> dict[str, Path]:
    """Return the imported graphs whose manifest is still there and has them no more, by name, with that manifest."""
    known = {name: find(where, run, None) for name, where in _known(run).items() if (run / "graphs" / name).is_dir()}
    found: dict[str, Path] = {}
    for path in {path for path in known.values() if path}:
        with suppress(CytomeshError):  # an import is a copy: its manifest need not be here any more
            names = {item.name for item in read_manifest(path).hemispheres}
            found |= {name: path for name, its in known.items() if its == path and name not in names}
    return found


def _known(run: Path) -> dict[str, str]:
    with suppress(CytomeshError, AttributeError):  # of an earlier version, or damaged
        return {str(name): str(where) for name, where in read_json(run / "graphs" / MANIFESTS).items()}
    return {}
