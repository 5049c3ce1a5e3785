"""Colour deconvolution by stains of a user's own: what a manifest's `image.stain_vectors` means."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, PlainSerializer

# Condition number of stain vectors above which small differences in colour become large amounts of stain.
MOST_ALIKE = 50.0
Vectors = tuple[tuple[str, tuple[float, float, float]], ...]


def unmixing(vectors: Vectors) -> NDArray[np.float64]:
    """Return (3, 3): optical density as a row, times this, is the amount of each stain.

    Vectors are brought to length 1; of two, the third is what neither of them absorbs, their cross product (Ruifrok &
    Johnston, Anal Quant Cytol Histol 23, 2001; as in scikit-image).

    Raises
    ------
    ValueError
        If stains are too few or too many, or look alike.
    """
    if len(vectors) not in (2, 3):
        raise ValueError(f"{len(vectors)} stains: give the vectors of two or three, name: [red, green, blue]")
    rows = np.array([vector for _, vector in vectors])
    if not (np.linalg.norm(rows, axis=1) > 0).all():
        raise ValueError("a vector of zeros: give optical densities of red, green and blue")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if len(rows) == 2:
        rest = np.cross(rows[0], rows[1])
        rows = np.vstack([rows, rest / max(np.linalg.norm(rest), np.finfo(float).tiny)])
    if not np.linalg.cond(rows) < MOST_ALIKE:
        raise ValueError("stains of nearly the same colour: they cannot be told apart")
    return np.linalg.inv(rows)


def _pairs(vectors: object) -> object:
    return tuple(vectors.items()) if isinstance(vectors, dict) else vectors


def _unmixable(vectors: Vectors) -> Vectors:
    names = [name for name, _ in vectors]
    if taken := {"rgb", "luminance"} & set(names):
        raise ValueError(f"{', '.join(taken)} is no name for a stain")
    unmixing(vectors)
    return vectors


StainVectors = Annotated[Vectors, BeforeValidator(_pairs), AfterValidator(_unmixable), PlainSerializer(dict)]
"""Name -> optical density of red, green and blue; pairs inside, so that settings can be keys."""
