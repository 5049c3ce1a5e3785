"""TIFF, BigTIFF and OME-TIFF."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cytomesh.core.remote import RemoteFile, RemotePath
from cytomesh.study.image_formats.arrays import ArrayReader, channel_names, count_channels, plane_shape, planes_of
from cytomesh.study.image_formats.chunks import DiskFile, OpenFile
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.image_formats.reader import ImageHeader, known_dtype, pyramid_level, refuse_size
from cytomesh.study.image_formats.tiff_chunks import TiffChunks
from cytomesh.study.image_formats.tiff_tags import (
    ome_channels,
    refuse_cut_off,
    refuse_meaning,
    section_series,
    tiff_alpha,
    tiff_palette,
    tiff_pixel_size,
)


class TiffReader(ArrayReader):
    """TIFF of one plane, with or without a pyramid; TIFFs of slide scanners (.svs, .ndpi, .scn) go to OpenSlide."""

    suffixes = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
    reads_addresses = True

    @classmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read tags and descriptions."""
        return cls.read_part(path, THE_ONLY)

    @classmethod
    def read_part(cls, path: Path, part: ImagePart) -> ImageHeader:
        """Read the same of one of several planes."""
        part.refuse_scene(path)
        with _opened(path) as tiff:
            series = section_series(path, tiff)
            dtype = known_dtype(path, series.dtype)
            axes = series.axes.lower()
            refuse_meaning(path, series.keyframe)
            refuse_cut_off(path, tiff, [level.keyframe for level in series.levels])
            planes_of(path, axes, series.shape, part)
            for level in series.levels:
                refuse_size(path, level.shape, math.prod(level.keyframe.chunks), "save it in tiles, or as OME-Zarr")
            shapes = [plane_shape(axes, level.shape) for level in series.levels]
            levels = tuple(pyramid_level(str(i), shape, shapes[0]) for i, shape in enumerate(shapes))
            alpha = tiff_alpha(path, series.keyframe)
            n_channels = count_channels(axes, series.shape) - (alpha is not None)
            n_channels = n_channels if tiff_palette(path, series.keyframe) is None else 3
            um_per_px = tiff_pixel_size(path, tiff, series.keyframe)
            names = channel_names(ome_channels(tiff.ome_metadata), n_channels)
        return ImageHeader(path, n_channels, levels, um_per_px, axes, dtype, names, alpha, part)

    def __init__(self, header: ImageHeader) -> None:
        super().__init__(header)
        path = header.path
        self._files: dict[str, OpenFile] = {}
        with _opened(path) as tiff:
            levels = tiff.series[0].levels
            self._levels = [TiffChunks(level, self._files) for level in levels]
            self._palette = tiff_palette(path, tiff.series[0].keyframe)
            for name in {page.parent.filehandle.path for level in levels for page in level.pages if page is not None}:
                self._files[name] = RemoteFile(path) if isinstance(path, RemotePath) else DiskFile(name)

    def open_level(self, level: int) -> TiffChunks:
        """Return the tiles or strips of a level."""
        return self._levels[level]

    def decode_channels(self, level: int, rows: slice, columns: slice, channels: slice) -> NDArray[Any]:
        """Decode a window of a level; numbers of colours in a palette become RGB."""
        if self._palette is None:
            return super().decode_channels(level, rows, columns, channels)
        numbers = self.load(level, self.window(rows, columns))
        height, width = plane_shape(self.header.axes, numbers.shape)
        return np.ascontiguousarray(self._palette[numbers.reshape(height, width), channels])

    def check(self) -> None:
        """Look for every tile and tag within the file; decode the last pixel of each level."""
        with _opened(self.header.path) as tiff:
            refuse_cut_off(self.header.path, tiff, [p for level in tiff.series[0].levels for p in level.pages])
        super().check()

    def decode_all(self) -> None:
        """Decode every tile once: bands of rows would decode a large strip again and again."""
        with _opened(self.header.path) as tiff:
            for page in (page for level in tiff.series[0].levels for page in level.pages):
                for _ in page.segments(maxworkers=1):
                    pass

    def close(self) -> None:
        """Close the file."""
        for file in self._files.values():
            file.close()


def _opened(path: Path) -> tifffile.TiffFile:
    return tifffile.TiffFile(path.open("rb") if isinstance(path, RemotePath) else path)
