"""Zeiss CZI by libCZI: one scene, one plane, one or more channels."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.extras import optional
from cytomesh.study.image_formats.arrays import channel_names
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.image_formats.reader import (
    ImageHeader,
    ImageLevel,
    ImageReader,
    pyramid_level,
    refuse_size,
)
from cytomesh.study.units import square_um

EXTRA = "cytomesh[czi]"
# What one pixel of a channel is: its type, and how many samples.
PIXEL_TYPES = {
    "Gray8": ("uint8", 1),
    "Gray16": ("uint16", 1),
    "Gray32Float": ("float32", 1),
    "Bgr24": ("uint8", 3),
    "Bgr48": ("uint16", 3),
}
WHITE = (1.0, 1.0, 1.0)
M_TO_UM = 1e6
Box = tuple[int, int, int, int]


class CziReader(ImageReader):
    """CZI files; what no tile covers is white. Coarser levels are stored ones, a whole number of times smaller."""

    suffixes = (".czi",)

    @classmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read metadata and the directory of tiles, of the only scene and plane."""
        return cls.read_part(path, THE_ONLY)

    @classmethod
    def read_part(cls, path: Path, part: ImagePart) -> ImageHeader:
        """Read the same of one of several scenes and planes."""
        scene = part.scene
        with optional("pylibCZIrw.czi", EXTRA).open_czi(str(path)) as image:
            _refuse_other_scenes(path, image, scene)
            _planes(path, image, part)
            dtype, n_channels = _pixels(path, image.pixel_types)
            box = _box(image, scene)
            factors, most_px = _layers(image, box, scene)
            height, width = box[3], box[2]
            refuse_size(path, (height, width), most_px, "save it in smaller tiles")
            shapes = [(height // factor, width // factor) for factor in factors]
            levels = [pyramid_level(str(f), shape, (height, width)) for f, shape in zip(factors, shapes, strict=True)]
            facts = image.metadata["ImageDocument"]["Metadata"]
        distances = _items(facts, "Scaling", "Items", "Distance")
        steps = {item.get("@Id"): M_TO_UM * float(item.get("Value") or 0) for item in distances}
        um_per_px = square_um(path, steps.get("X", 0), steps.get("Y", 0))
        channels = _items(facts, "Information", "Image", "Dimensions", "Channels", "Channel")
        names = channel_names([channel.get("@Name") for channel in channels], n_channels)
        levels = [ImageLevel("1", (height, width)), *levels]
        return ImageHeader(path, n_channels, tuple(levels), um_per_px, "yxc", dtype, names, part=part)

    def __init__(self, header: ImageHeader) -> None:
        super().__init__(header)
        self._file = ExitStack()
        self._image: Any = self._file.enter_context(optional("pylibCZIrw.czi", EXTRA).open_czi(str(header.path)))
        self._types = list(self._image.pixel_types.values())
        self._left, self._top, *_ = _box(self._image, header.part.scene)
        self._planes = _planes(header.path, self._image, header.part)
        self._one_at_a_time = threading.Lock()

    def decode(self, level: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Compose a window from tiles."""
        return self.decode_channels(level, rows, columns, slice(None))

    def decode_channels(self, level: int, rows: slice, columns: slice, channels: slice) -> NDArray[Any]:
        """Compose a window from tiles, channel by channel."""
        is_rgb = self._types[0].startswith("Bgr")
        factor, shape = int(self.header.levels[level].name), self.header.levels[level].shape
        (top, bottom, _), (left, right, _) = (part.indices(n) for part, n in zip((rows, columns), shape, strict=True))
        if top == bottom or left == right:
            n_channels = len(range(self.header.n_channels)[channels])
            return np.empty((bottom - top, right - left, n_channels), self.header.dtype)
        corner = self._left + factor * left, self._top + factor * top
        box = (*corner, factor * (right - left), factor * (bottom - top))
        with self._one_at_a_time:
            planes = [
                self._image.read(box, {"C": c, **self._planes}, self.header.part.scene, 1 / factor, kind, WHITE)
                for c, kind in list(enumerate(self._types))[slice(None) if is_rgb else channels]
            ]
        pixels = np.concatenate(planes, axis=2)
        return np.ascontiguousarray(pixels[..., ::-1])[..., channels] if is_rgb else pixels

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _refuse_other_scenes(path: Path, image: Any, scene: int | None) -> None:
    """Raise ImageError if the scene is not there, or none is named and a file holds several."""
    scenes = image.scenes_bounding_rectangle_no_pyramid
    names = ", ".join(f"{i} ({box.w} x {box.h} px)" for i, box in scenes.items())
    if scene is None and len(scenes) > 1:
        hint = "name it in the column scene of the section table, or by --scene"
        raise ImageError(path, found=f"scenes {names}", expected="one scene, one section", hint=hint)
    if scene is not None and scene not in scenes:
        raise ImageError(path, found=f"no scene {scene}", expected=f"one of {names or 'none'}")


def _planes(path: Path, image: Any, part: ImagePart) -> dict[str, int]:
    """Return which plane is read, as libCZI counts them; raises as `ImagePart.planes` does."""
    ranges = {axis.lower(): pair for axis, pair in image.total_bounding_box.items() if axis not in "CXYSM"}
    chosen = part.planes(path, {axis: last - first for axis, (first, last) in ranges.items()})
    return {axis.upper(): ranges[axis][0] + index for axis, index in chosen.items()}


def _box(image: Any, scene: int | None) -> Box:
    """Return left, top, width and height of a scene, or of all there is."""
    scenes = image.scenes_bounding_rectangle_no_pyramid
    box = image.total_bounding_rectangle_no_pyramid if scene is None else scenes[scene]
    return box.x, box.y, box.w, box.h


def _pixels(path: Path, types: dict[int, str]) -> tuple[str, int]:
    """Return pixel type and number of channels."""
    kinds = set(types.values())
    known = PIXEL_TYPES.get(next(iter(kinds)))
    if len(kinds) > 1 or known is None or (known[1] == 3 and len(types) > 1):
        found = f"channels of {', '.join(types.values())}"
        hint = "export channels of one type, 8 or 16 bits; RGB alone"
        raise ImageError(path, found=found, expected=f"one of {', '.join(PIXEL_TYPES)} for all", hint=hint)
    return known[0], known[1] * len(types)


def _layers(image: Any, box: Box, scene: int | None) -> tuple[list[int], int]:
    """Return how many times smaller stored layers of all of a box are, and the pixels of the largest tile."""
    boxes: dict[int, list[Box]] = {}
    most_px = 1

    def note(_: int, tile: Any) -> bool:
        nonlocal most_px
        logical, physical = tile.logicalRect, tile.physicalSize
        most_px = max(most_px, physical.w * physical.h)
        boxes.setdefault(round(logical.w / max(1, physical.w)), []).append((logical.x, logical.y, logical.w, logical.h))
        return True

    image.enumerate_subblocks_subset(note, plane=None if scene is None else {"S": scene})
    # a layer may lack what is left of the border when it is divided
    factors = [f for f in sorted(boxes) if f > 1 and min(box[2:]) >= f and _covers(boxes[f], box, 2 * f)]
    return factors, most_px


def _covers(tiles: Sequence[Box], box: Box, slack: int) -> bool:
    places = np.array(tiles)
    low, high = places[:, :2].min(axis=0), (places[:, :2] + places[:, 2:]).max(axis=0)
    corner, size = np.array(box[:2]), np.array(box[2:])
    return bool((low <= corner + slack).all() and (high >= corner + size - slack).all())


def _items(facts: Any, *names: str) -> list[Any]:
    """Return the elements below some names in metadata that may lack any of them; one alone is no list there."""
    for name in names:
        facts = (facts or {}).get(name)
    return facts if isinstance(facts, list) else [facts] if facts else []
