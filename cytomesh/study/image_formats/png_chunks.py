"""What the chunks of a PNG say that decoders change or leave alone: bits a sample, and notes on orientation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SIGNATURE_BYTES = 8
GREY = 0
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# Where programs keep EXIF and XMP: in text chunks before PNG had a chunk for EXIF (ImageMagick, Adobe).
ORIENTED = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")


def png_kind(path: Path) -> tuple[int, int]:
    """Return bits a sample and colour type of a PNG: bytes 8 and 9 of IHDR, the first chunk (PNG, 11.2.1)."""
    with path.open("rb") as stream:
        depth, colour = stream.read(26)[24:26]
    return depth, colour


def grey_scale(path: Path) -> int:
    """Return the factor by which decoders stretch the values of a grey PNG to 8 bits; 1 if they leave them alone."""
    depth, colour = png_kind(path)
    return 255 // (2**depth - 1) if colour == GREY and depth in (2, 4) else 1


def has_orientation(path: Path) -> bool:
    """Whether a chunk may say how the image is to be turned, wherever it stands; pixels are passed over."""
    with path.open("rb") as stream:
        return any(
            kind == b"eXIf" or (kind in TEXTS and stream.read(min(size, 80)).startswith(ORIENTED))
            for kind, size in _chunks(stream)
        )


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and size of each chunk, the stream at its data (PNG, 5.3: length, kind, data, checksum)."""
    place = SIGNATURE_BYTES
    while True:
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[:4], "big")
        yield head[4:], size
        place += size + 12
