"""Where the files are that come with the package: presets and templates."""

from __future__ import annotations

from pathlib import Path


def shipped(name: str) -> Path:
    """Return a folder of files that come with the package: `configs`, or `data_manifests`."""
    package = Path(__file__).parents[1]
    # In an installed wheel it lies inside the package, in a checkout beside it.
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
