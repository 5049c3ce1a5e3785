"""Where the files that a section table names may lie: a table that came with data must not reach elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cytomesh.core.errors import StudyError
from cytomesh.core.remote import RemotePath

if TYPE_CHECKING:
    from cytomesh.study.sections import Section

KINDS = ("image", "contours", "annotation", "displacement")


def is_below(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a path is in one of some folders, by its text.

    Links are not followed: who puts one into a study wants it followed, as git-annex does.
    """
    text = os.path.abspath(path)  # noqa: PTH100 (resolves no links)
    return any(os.path.commonpath([text, folder]) == folder for folder in map(os.path.abspath, folders))


def refuse_outside(
    table: Path, sections: Sequence[Section], manifest: Path, folders: Sequence[Path]
) -> tuple[list[Section], list[StudyError]]:
    """Return the sections all of whose files are where a table may name some, and one problem for all others.

    Parameters
    ----------
    table : Path
        The section table; its own folder is allowed, as the manifest names it.
    sections : sequence of Section
    manifest : Path
        The study; its folder is allowed.
    folders : sequence of Path
        Those that its key `data_roots` allows.
    """
    allowed = [manifest.parent, table.parent, *folders]
    outside = [(section, kind, path) for section in sections for kind, path in _files(section, allowed)]
    if not outside:
        return list(sections), []
    section, kind, path = outside[0]
    common = Path(os.path.commonpath([os.path.abspath(path.parent) for *_, path in outside]))  # noqa: PTH100
    count = f", and {len(outside) - 1} more files" if len(outside) > 1 else ""
    problem = StudyError(
        table,
        f"section {section.index}, {kind}",
        found=f"a file outside the study ({os.path.normpath(path)}{count})",
        expected="files below the folder of the manifest, or of this table",
        hint=f"if you trust the table, name the folder in {manifest.name}: data_roots: [{_named(common, manifest)}]",
    )
    left_out = {section.index for section, *_ in outside}
    return [section for section in sections if section.index not in left_out], [problem]


def _files(section: Section, allowed: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    for kind in KINDS:
        path = getattr(section, kind)
        if path is not None and not isinstance(path, RemotePath) and not is_below(path, allowed):
            yield kind, path


def _named(folder: Path, manifest: Path) -> str:
    """Return a folder as a manifest can name it: near ones relative to it."""
    relative = os.path.relpath(folder, manifest.parent)
    return relative if relative.count("..") <= 2 else str(folder)
