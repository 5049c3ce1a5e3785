"""What the maps are called that imported features are made of, and the order in which other maps are the same."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from cytomesh.core.counted import counted
from cytomesh.core.errors import FeatureError
from cytomesh.core.files import read_json
from cytomesh.core.provenance import said
from cytomesh.core.reading import reading
from cytomesh.core.sides import WORDS

RENAME = "give the same maps the same names, in any order (first row of a table; wb_command -set-map-names)"


def map_names(run: Path, encoder: str, graph: str) -> tuple[str, ...]:
    """Return the names of the maps of a graph's features; none of encoders, profiles, and imports of earlier versions.

    Raises
    ------
    FeatureError
        If the record beside the features cannot be read.
    """
    path = run / "features" / encoder / f"{graph}.json"
    if not path.is_file():
        return ()
    record = read_json(path, FeatureError)
    with reading(path, FeatureError):
        return tuple(str(name) for name in record.get("maps", ()))


def order_by_name(names: Sequence[str], wanted: Sequence[str], source: str) -> list[int]:
    """Return which map stands in the place of each wanted one.

    Names may begin otherwise, with the subject, side or file: then what they do not share counts ("s1 curv, s1 sulc"
    and "s2 sulc, s2 curv"), and of a single map the last word.

    Raises
    ------
    FeatureError
        If there are others, or fewer or more of them.

    Examples
    --------
    >>> order_by_name(["s2 sulc", "s2 curv"], ["curv", "sulc"], "s2_hemi-L"), order_by_name(["a 1"], ["b 1"], "a")
    ([1, 0], [0])
    >>> order_by_name(["right"], ["left"], "the one map, of right.npy")
    [0]
    """
    for own, of_model in ((list(names), list(wanted)), (_bare(names), _bare(wanted))):
        if len(set(own)) == len(own) and sorted(own) == sorted(of_model):
            return [own.index(name) for name in of_model]
    if list(names) == list(wanted):  # with a name twice
        return list(range(len(names)))
    lacking, further = [n for n in wanted if n not in names], [n for n in names if n not in wanted]
    lists = {"without": lacking, "with": further}
    found = f"{counted(len(names), 'map')} " + ", ".join(f"{word} {said(n)}" for word, n in lists.items() if n)
    expected = f"{counted(len(wanted), 'map')}: {said(wanted)}"
    raise FeatureError(source, found=found, expected=expected, hint=f"{RENAME}, and import again")


def _bare(names: Sequence[str]) -> list[str]:
    """Return names without what all begin with (numbers stay whole); the last word of a single one, unless a side's."""
    if len(names) == 1:
        word = re.split(r"[._ -]", names[0])[-1]
        return ["" if word.casefold() in WORDS else word]
    shared = os.path.commonprefix(list(names)).rstrip("0123456789")  # noqa: RUF071
    return [name[len(shared) :] for name in names]
