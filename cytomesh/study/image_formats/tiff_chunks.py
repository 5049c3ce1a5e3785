"""Tiles and strips of a TIFF, read one by one; tifffile says where they are and decodes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.study.image_formats.chunks import ChunkedArray, OpenFile, Place


class TiffChunks(ChunkedArray):
    """One level of a series; its pages may be planes that lie along an axis.

    Parameters
    ----------
    level : tifffile.TiffPageSeries
    files : mapping of str to OpenFile
        Open files by the paths of those that have the level's pages.

    Raises
    ------
    ValueError
        If there are other tiles or pages than its shape needs.
    """

    def __init__(self, level: Any, files: Mapping[str, OpenFile]) -> None:
        page, shape = level.keyframe, tuple(level.shape)
        own = tuple(page.chunks)
        while len(own) > len(shape) and own[0] == 1:  # axes of length 1, which the series leaves out
            own = own[1:]
        super().__init__(shape, (1,) * (len(shape) - len(own)) + own, np.dtype(level.dtype))
        # tifffile looks into the file for these, which need not stay open for it
        self._decode, self._no_data = page.decode, page.nodata
        self._options = {} if page.jpegheader is None else {"jpegheader": page.jpegheader}
        self._pages = list(level.pages)
        self._files = files
        self._n_a_page = math.prod(page.chunked)
        # of pages that follow one another without a gap, tifffile may list the first alone
        self._page_bytes = 0 if level.dataoffset is None else int(page.nbytes)
        n_pages, rest = divmod(math.prod(self.grid), self._n_a_page)
        if rest or (n_pages != len(self._pages) and not self._page_bytes):
            stored = f"{len(self._pages)} pages of {self._n_a_page} tiles or strips"
            raise ValueError(f"{stored} of {own} px for an image of {shape}")

    def decode(self, place: Place) -> NDArray[Any]:
        """Decode a tile or strip, the last ones perhaps cut off; one that is not stored is as the file says, or 0."""
        number, index = divmod(self.number(place), self._n_a_page)
        page = self._pages[0 if self._page_bytes else number]
        start, n = (0, 0) if page is None else (page.dataoffsets[index], page.databytecounts[index])
        if not start or not n:
            return np.full(self.inside(place), self._no_data, self.dtype)
        data = self._files[page.parent.filehandle.path].read_at(start + number * self._page_bytes, n)
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        values, _, _ = self._decode(data, index, **tables, **self._options)
        is_whole = values.size == math.prod(self.chunks)
        return np.asarray(values).reshape(self.chunks if is_whole else self.inside(place))
