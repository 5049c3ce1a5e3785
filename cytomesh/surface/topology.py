"""Digital topology on the Freudenthal (Kuhn) grid: simple points and ordered, topology-preserving deformation.

Every voxel of the six-tetrahedra subdivision has 14 neighbours whose link is a triangulated sphere. Object and
background then use the same neighbourhood (no 6/26 duality), and the boundary that marching tetrahedra extracts is
always a closed manifold with the topology of the digital object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel

_POSITIVE = [step for step in product((0, 1), repeat=3) if any(step)]
OFFSETS: NDArray[np.int64] = np.array(_POSITIVE + [tuple(-c for c in step) for step in _POSITIVE], dtype=np.int64)
"""(14, 3) steps to the neighbours of a grid point: seven along positive cube diagonals, seven back."""

SLAB = 16
N_LEVELS = 512
"""Steps into which keys are sorted: 0.04 mm for distances within 20 mm."""

# a point in one number: object or background, waiting in the queue, never to flip, and the level of its key
_OBJECT, _QUEUED, _FIXED, _LEVEL = 1, 2, 4, 8


@cache
def link_adjacency() -> NDArray[np.bool_]:
    """Return (14, 14): which neighbours of a point are neighbours of each other."""
    known = {tuple(step) for step in OFFSETS.tolist()}
    return np.array([[tuple(a - b) in known for b in OFFSETS] for a in OFFSETS])


@cache
def simple_table() -> NDArray[np.bool_]:
    """Return (2**14,) whether a point may flip when the bits of the index say which neighbours are object.

    A point is simple where object and background each form exactly one component on its link: on a triangulated
    sphere both are then contractible (Alexander duality), and flipping changes no component, handle or cavity.
    """
    masks = np.arange(2**14)
    return np.asarray((_n_components(masks) == 1) & (_n_components(2**14 - 1 - masks) == 1))


def flat_offsets(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return (14,) steps to the neighbours in the flattened array of that shape."""
    return OFFSETS @ np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)


Key = Callable[[slice], NDArray[np.float32]]
"""Returns the keys of some layers of a grid along its first axis."""


def deform(state: NDArray[np.uint8], source: int, key: Key, lowest: float, limit: float) -> int:
    """Flip points of value `source` (0 grows, 1 shrinks the object) in ascending order of `key`, in place.

    Only points with key <= limit that border the other value and are simple at their turn flip; a point that was
    refused is asked again when a neighbour flips. Keys from `lowest` to `limit` are sorted into `N_LEVELS` levels,
    first come first served within a level. The outermost layer of the grid never flips.

    Returns
    -------
    int
        Number of points flipped.
    """
    points = np.empty(state.shape, np.uint16)
    for layers in slabs(state.shape):
        _pack(state[layers], source, key(layers), lowest, limit, points[layers])
    for axis in range(3):
        np.moveaxis(points, axis, 0)[[0, -1]] |= _FIXED
    n_flipped = _deform(points.reshape(-1), source, flat_offsets(state.shape), simple_table())
    np.bitwise_and(points, _OBJECT, out=state, casting="unsafe")
    return int(n_flipped)


def slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut a grid into slabs along its first axis, so that intermediate results stay small."""
    for start in range(0, shape[0], SLAB):
        yield slice(start, min(start + SLAB, shape[0]))


def fill_cavities(field: NDArray[np.float32], value: np.float32) -> None:
    """Give background (field <= 0) that does not reach the grid's outermost layer a small positive value, in place."""
    is_outside = np.zeros(field.shape, np.bool_)
    for axis in range(3):
        np.moveaxis(is_outside, axis, 0)[[0, -1]] = True
    _fill_cavities(field.reshape(-1), is_outside.reshape(-1), flat_offsets(field.shape), value)


@cache
def _euler_table() -> NDArray[np.int64]:
    """Return (128,) the Euler number of the simplices that start at an object point, by its seven next neighbours."""
    chains: list[tuple[int, ...]] = [(first,) for first in range(7)]
    for _ in range(2):
        chains += [
            (*chain, step) for chain in chains for step in range(7) if _above(_POSITIVE[step], _POSITIVE[chain[-1]])
        ]
    unique = set(chains)
    masks = np.arange(128)
    return np.asarray(
        1 + sum((-1) ** len(chain) * np.all([masks >> step & 1 for step in chain], axis=0) for chain in unique),
        np.int64,
    )


def euler_number(is_object: NDArray[np.bool_]) -> int:
    """Euler number of the object's Freudenthal complex; its boundary surface has twice that number."""
    padded = np.pad(is_object, ((0, 1),) * 3)
    return int(_euler(padded.reshape(-1), flat_offsets(padded.shape)[:7], _euler_table()))


def _above(step: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return step != other and all(a >= b for a, b in zip(step, other, strict=True))


def _n_components(masks: NDArray[np.int64]) -> NDArray[np.int64]:
    bits = np.array([int(sum(1 << b for b in np.flatnonzero(row))) for row in link_adjacency()])
    rest = masks.copy()
    count = np.zeros_like(masks)
    while rest.any():
        count += rest != 0
        part = rest & -rest
        for _ in range(len(bits)):
            reach = np.zeros_like(part)
            for b, neighbours in enumerate(bits):
                reach |= np.where(part >> b & 1, neighbours, 0)
            part |= reach & rest
        rest &= ~part
    return count


@kernel
def _euler(is_object, steps, table):  # type: ignore[no-untyped-def]
    total = 0
    for p in range(len(is_object) - steps.max()):
        if is_object[p]:
            mask = 0
            for b in range(7):
                mask |= int(is_object[p + steps[b]]) << b
            total += table[mask]
    return total


@kernel
def _pack(state, source, key, lowest, limit, points):  # type: ignore[no-untyped-def]
    scale = (N_LEVELS - 1) / max(limit - lowest, 1e-12)
    for i in range(state.shape[0]):
        for j in range(state.shape[1]):
            for k in range(state.shape[2]):
                points[i, j, k] = state[i, j, k]
                if key[i, j, k] <= limit:
                    points[i, j, k] |= _LEVEL * int(max(key[i, j, k] - lowest, 0.0) * scale)
                elif state[i, j, k] == source:
                    points[i, j, k] |= _FIXED


@kernel
def _fill_cavities(field, is_outside, steps, value):  # type: ignore[no-untyped-def]
    """Sweep to and fro until the outside grows no more; the first sweeps find nearly all of it."""
    n_found, forward = 1, True
    while n_found > 0:
        n_found = 0
        for n in range(len(field)):
            p = n if forward else len(field) - 1 - n
            if is_outside[p] or field[p] > 0:
                continue
            for b in range(14):
                if is_outside[p + steps[b]]:
                    is_outside[p] = True
                    n_found += 1
                    break
        forward = not forward
    for p in range(len(field)):
        if field[p] <= 0 and not is_outside[p]:
            field[p] = value


@kernel
def _deform(points, source, steps, simple):  # type: ignore[no-untyped-def]
    """Queue of linked lists, one per level; `following[slot]` also chains the free slots."""
    first, last = np.full(N_LEVELS, -1, np.int64), np.full(N_LEVELS, -1, np.int64)
    items, following = np.empty(0, np.int64), np.empty(0, np.int64)
    free, n_free = -1, 0
    level, n_flipped = 0, 0
    for p in range(len(points)):
        if points[p] & (_OBJECT | _FIXED) != source:
            continue
        is_front = False
        for b in range(14):
            is_front |= points[p + steps[b]] & _OBJECT != source
        if is_front:
            if n_free == 0:
                items, following, free, n_free = _enlarge(items, following)
            slot = free
            free, n_free = following[slot], n_free - 1
            items[slot] = p
            _append(first, last, following, points[p] // _LEVEL, slot)
            points[p] |= _QUEUED
    while level < N_LEVELS:
        slot = first[level]
        if slot < 0:
            level += 1
            continue
        p = items[slot]
        first[level] = following[slot]
        following[slot] = free
        free, n_free = slot, n_free + 1
        points[p] ^= _QUEUED
        mask = 0
        for b in range(14):
            mask |= int(points[p + steps[b]] & _OBJECT) << b
        if not simple[mask]:
            continue
        points[p] ^= _OBJECT
        n_flipped += 1
        for b in range(14):
            q = p + steps[b]
            if points[q] & (_OBJECT | _QUEUED | _FIXED) != source:
                continue
            if n_free == 0:
                items, following, free, n_free = _enlarge(items, following)
            slot = free
            free, n_free = following[slot], n_free - 1
            items[slot] = q
            # a point that should have come before waits no longer than the present level
            _append(first, last, following, max(points[q] // _LEVEL, level), slot)
            points[q] |= _QUEUED
    return n_flipped


@kernel
def _append(first, last, following, level, slot):  # type: ignore[no-untyped-def]
    following[slot] = -1
    if first[level] < 0:
        first[level] = slot
    else:
        following[last[level]] = slot
    last[level] = slot


@kernel
def _enlarge(items, following):  # type: ignore[no-untyped-def]
    """Double the queue; the new slots are free."""
    n = max(len(items), 1 << 16)
    more = np.arange(len(items) + 1, len(items) + n + 1)
    more[-1] = -1
    return np.concatenate((items, np.empty(n, np.int64))), np.concatenate((following, more)), len(items), n
