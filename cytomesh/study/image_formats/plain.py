"""PNG and JPEG: decoded as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.study.image_formats.png_chunks import has_orientation, png_kind
from cytomesh.study.image_formats.reader import (
    HINT_FORMATS,
    Alpha,
    ImageHeader,
    ImageLevel,
    ImageReader,
    on_background,
    refuse_size,
)
from cytomesh.study.image_formats.tiff_tags import refuse_orientation

# Channels of what Pillow tells apart; palettes become RGB, and transparent pixels white.
PLAIN_CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3}
EXIF_ORIENTATION = 0x0112
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEEP_CHANNELS = {0: 1, 2: 3, 4: 1, 6: 3}
WITH_ALPHA, DEEP_WITH_ALPHA = ("LA", "RGBA"), (4, 6)
# Deflate makes data at most 1,032 times smaller; a JPEG has a bit or more for each 8 x 8 px.
DEFLATE_RATIO = 1032
JPEG_PX_PER_BYTE = 512
_opening = threading.Lock()


class PlainReader(ImageReader):
    """PNG and JPEG; transparent pixels show the background, which is white.

    The background of a patch beyond its image is the same (`imaging.patches.read_patches`).
    """

    suffixes = (".png", ".jpg", ".jpeg")
    decodes_whole = True
    reads_addresses = True

    @classmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read the size and what the values mean."""
        with open_plain(path) as image:
            width, height = image.size
            refuse_turned(path, image)
            bits, colour = png_kind(path) if image.format == "PNG" else (8, 0)
            alpha: Alpha | None = "straight" if image.mode in WITH_ALPHA or "transparency" in image.info else None
            levels = (ImageLevel("0", (height, width)),)
            if bits == 16:
                alpha = "straight" if colour in DEEP_WITH_ALPHA else None
                return ImageHeader(path, DEEP_CHANNELS[colour], levels, dtype="uint16", alpha=alpha)
            if image.mode not in PLAIN_CHANNELS:
                raise ImageError(path, found=f"colours of kind {image.mode}", expected="grey or RGB", hint=HINT_FORMATS)
            n_channels = PLAIN_CHANNELS[image.mode]
        return ImageHeader(path, n_channels, levels, alpha=alpha)

    def decode(self, level: int, rows: slice, columns: slice) -> NDArray[Any]:  # noqa: ARG002
        """Decode all of it, and return the window."""
        n_channels = self.header.n_channels
        if self.header.dtype == "uint16":
            return self._decode_deep()[rows, columns]
        mode = "L" if n_channels == 1 else "RGB"
        check_sums(self.header.path)
        with open_plain(self.header.path) as image:
            if image.has_transparency_data:
                with_alpha = image.convert("RGBA")
                white = Image.new(mode, image.size, "white")
                image = Image.composite(with_alpha.convert(mode), white, with_alpha.getchannel("A"))
            array = np.array(image.convert(mode))
        return array.reshape(*array.shape[:2], n_channels)[rows, columns]

    def _decode_deep(self) -> NDArray[np.uint16]:
        """Decode 16 bits a channel, of which Pillow would cut the low byte off, except of grey."""
        check_sums(self.header.path)
        with open_plain(self.header.path):  # for its guards
            stored = imagecodecs.png_decode(self.header.path.read_bytes())
        stored = stored.reshape(*stored.shape[:2], -1)
        return on_background(stored, "straight") if stored.shape[2] > self.header.n_channels else stored

    def check(self) -> None:
        """Compare the checksums of a PNG; decode a JPEG at an eighth of its size."""
        check_sums(self.header.path)
        with open_plain(self.header.path) as image:
            if image.format == "JPEG":
                image.draft(image.mode, (1, 1))
                image.load()

    def decode_all(self) -> None:
        """Decode it."""
        self.read(0, slice(None), slice(None))


def check_sums(path: Path) -> None:
    """Compare the checksums of a PNG, which decoders leave alone: damaged pixels would be taken. A JPEG has none."""
    with open_plain(path) as image:
        if image.format == "PNG":
            image.verify()


@contextmanager
def open_plain(path: Path) -> Iterator[Image.Image]:
    """Open a PNG or JPEG of any size, and nothing else that Pillow knows: for some formats it starts other programs.

    Histological sections are larger than Pillow's guard against decompression bombs allows for. It is a setting of the
    whole process, looked at while a file is opened: no longer than that is it lifted, by one thread at a time.
    """
    with path.open("rb") as stream:
        with _opening:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(stream, formats=("PNG", "JPEG"))
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        with image:
            _refuse_unlikely(path, image)
            yield image


def _refuse_unlikely(path: Path, image: Image.Image) -> None:
    """Raise ImageError if a PNG or JPEG says that it is larger than can be in it, or than memory is to be asked for."""
    width, height = image.size
    refuse_size(path, (height, width), height * width, "save it as a tiled TIFF or OME-Zarr")
    size = path.stat().st_size
    if image.format == "PNG":
        depth, colour = png_kind(path)
        needed = height * (1 + width * depth * PNG_CHANNELS.get(colour, 1) // 8) // DEFLATE_RATIO
    else:
        needed = height * width // JPEG_PX_PER_BYTE
    if needed > size:
        found = f"{width} x {height} px in {size:,} bytes"
        raise ImageError(path, found=found, expected="a whole image", hint="copy or export the image again")


def refuse_turned(path: Path, image: Image.Image) -> None:
    """Raise ImageError if a PNG or JPEG asks to be turned or mirrored for display."""
    # Pillow would decode a whole PNG to look behind its pixels for EXIF
    if image.format == "JPEG" or has_orientation(path):
        refuse_orientation(path, image.getexif().get(EXIF_ORIENTATION))
