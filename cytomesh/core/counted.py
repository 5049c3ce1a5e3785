"""Counts in sentences: "1 section", "2 sections"."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun.

    Parameters
    ----------
    n : int
    noun : str
        One of them.
    plural : str
        Of nouns that do not simply take an s.

    Examples
    --------
    >>> counted(1, "area"), counted(1200, "area"), counted(2, "vertex", "vertices")
    ('1 area', '1,200 areas', '2 vertices')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
