"""OME-Zarr at addresses: the store that Zarr reads from, with errors that name the address."""

from __future__ import annotations

from typing import Any

import zarr
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import FsspecStore, WrapperStore

from cytomesh.core.errors import ImageError
from cytomesh.core.extras import optional
from cytomesh.core.remote import EXTRA, RemotePath

DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


class RemoteStore(WrapperStore[Any]):
    """What is read of an image at an address: chunks that are not there are missing, never the fill value.

    A chunk is asked for once; nobody looks beforehand whether it is stored.
    """

    def __init__(self, store: Any, path: RemotePath) -> None:
        super().__init__(store)
        self._path = path

    def _with_store(self, store: Any) -> RemoteStore:
        return RemoteStore(store, self._path)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return what is stored under a key, or a part of it.

        Raises
        ------
        ImageError
            If it is a chunk that is not stored, or an empty one.
        AddressError
            If the server refuses, or its answer is cut off.
        """
        with (self._path / key).explained():
            value = await self._store.get(key, prototype, byte_range)
        if key.rpartition("/")[2] in DOCUMENTS:
            return value
        if value is None or not len(value):
            hint = "upload the image again, chunks that are black throughout, too (zarr: write_empty_chunks=True)"
            raise ImageError(self._path, key, found="a chunk that is not stored", expected="all chunks", hint=hint)
        expected = _n_bytes(byte_range)
        if expected is not None and len(value) != expected:
            raise (self._path / key).cut_off(len(value), expected)
        return value


def _n_bytes(byte_range: Any) -> int | None:
    """Return how many bytes are asked for; None for all there are."""
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.end - byte_range.start
    return byte_range.suffix if isinstance(byte_range, SuffixByteRequest) else None


def open_remote_array(path: RemotePath, name: str) -> Any:
    """Open the array of a level."""
    filesystem = path.filesystem
    # Zarr has a loop of its own, and would leave connections open in it: fsspec's own loop is asked, which closes them
    wrappers = optional("fsspec.implementations.asyn_wrapper", EXTRA)
    shared = wrappers.AsyncFileSystemWrapper(filesystem, asynchronous=True)
    store = FsspecStore(shared, path=filesystem._strip_protocol(str(path)), read_only=True)
    return zarr.open_array(RemoteStore(store, path), path=name, mode="r")
