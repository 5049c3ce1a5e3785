"""Digital topology on the Freudenthal (Kuhn) grid: simple points and ordered, topology-preserving deformation.

Every voxel of the six-tetrahedra subdivision has 14 neighbours whose link is a triangulated sphere. Object and
background then use the same neighbourhood (no 6/26 duality), and the boundary that marching tetrahedra extracts is
always a closed manifold with the topology of the digital object.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel

_POSITIVE = [step for step in product((0, 1), repeat=3) if any(step)]
OFFSETS: NDArray[np.int64] = np.array(_POSITIVE + [tuple(-c for c in step) for step in _POSITIVE], dtype=np.int64)
"""(14, 3) steps to the neighbours of a grid point: seven along positive cube diagonals, seven back."""

_QUEUED = np.uint8(2)


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


def deform(state: NDArray[np.uint8], source: int, key: NDArray[np.float32], limit: float) -> int:
    """Flip points of value `source` (0 grows, 1 shrinks the object) in ascending order of `key`, in place.

    Only points with key <= limit that border the other value and are simple at their turn flip; a point that was
    refused is asked again when a neighbour flips. The outermost layer of the grid never flips.

    Returns
    -------
    int
        Number of points flipped.
    """
    return int(
        _deform(
            state.reshape(-1), state.shape, source, key.reshape(-1), limit, flat_offsets(state.shape), simple_table()
        )
    )


def euler_number(is_object: NDArray[np.bool_]) -> int:
    """Euler number of the object's Freudenthal complex; its boundary surface has twice that number."""
    chains: list[tuple[tuple[int, ...], ...]] = [((0, 0, 0),)]
    total = 0
    for dimension in range(4):
        total += (-1) ** dimension * sum(_count(is_object, chain) for chain in chains)
        chains = [(*chain, step) for chain in chains for step in _POSITIVE if _above(step, chain[-1])]
    return total


def _above(step: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return step != other and all(a >= b for a, b in zip(step, other, strict=True))


def _count(is_object: NDArray[np.bool_], chain: tuple[tuple[int, ...], ...]) -> int:
    shape = is_object.shape
    reach = [max(step[axis] for step in chain) for axis in range(3)]
    views = [
        is_object[tuple(slice(step[axis], shape[axis] - reach[axis] + step[axis]) for axis in range(3))]
        for step in chain
    ]
    return int(np.count_nonzero(np.logical_and.reduce(views)))


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
def _push(keys, items, size, key, item):  # type: ignore[no-untyped-def]
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] < key or (keys[parent] == key and items[parent] <= item):
            break
        keys[i] = keys[parent]
        items[i] = items[parent]
        i = parent
    keys[i] = key
    items[i] = item


@kernel
def _pop(keys, items, size):  # type: ignore[no-untyped-def]
    """Remove the smallest; the caller has read entry 0 and passes the new size."""
    key, item = keys[size], items[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (keys[right] < keys[child] or (keys[right] == keys[child] and items[right] < items[child])):
            child = right
        if key < keys[child] or (key == keys[child] and item <= items[child]):
            break
        keys[i] = keys[child]
        items[i] = items[child]
        i = child
    keys[i] = key
    items[i] = item


@kernel
def _deform(state, shape, source, key, limit, steps, simple):  # type: ignore[no-untyped-def]
    ni, nj, nk = shape
    plane = nj * nk
    keys = np.empty(1 << 16, np.float32)
    items = np.empty(1 << 16, np.int64)
    size = 0
    for i in range(1, ni - 1):
        for j in range(1, nj - 1):
            for k in range(1, nk - 1):
                p = i * plane + j * nk + k
                if state[p] != source or not key[p] <= limit:
                    continue
                for b in range(14):
                    if (state[p + steps[b]] & 1) != source:
                        if size == len(keys):
                            keys = np.concatenate((keys, np.empty_like(keys)))
                            items = np.concatenate((items, np.empty_like(items)))
                        _push(keys, items, size, key[p], p)
                        size += 1
                        state[p] |= _QUEUED
                        break
    n_flipped = 0
    while size > 0:
        p = items[0]
        size -= 1
        _pop(keys, items, size)
        state[p] &= 1
        mask = 0
        for b in range(14):
            mask |= int(state[p + steps[b]] & 1) << b
        if not simple[mask]:
            continue
        state[p] = 1 - source
        n_flipped += 1
        for b in range(14):
            q = p + steps[b]
            if state[q] != source or not key[q] <= limit:
                continue
            i, rest = q // plane, q % plane
            j, k = rest // nk, rest % nk
            if i < 1 or j < 1 or k < 1 or i >= ni - 1 or j >= nj - 1 or k >= nk - 1:
                continue
            if size == len(keys):
                keys = np.concatenate((keys, np.empty_like(keys)))
                items = np.concatenate((items, np.empty_like(items)))
            _push(keys, items, size, key[q], q)
            size += 1
            state[q] |= _QUEUED
    return n_flipped
