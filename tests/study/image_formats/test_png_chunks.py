import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.study.image_formats.png_chunks import has_orientation
from cytomesh.study.image_formats.registry import read_header

EXIF = Image.Exif()
EXIF[0x0112] = 6


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_profile():
    data = b"Exif\0\0" + EXIF.tobytes().removeprefix(b"Exif\0\0")
    text = b"\nexif\n%8d\n" % len(data) + data.hex().encode() + b"\n"
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("note", [chunk(b"eXIf", EXIF.tobytes().removeprefix(b"Exif\0\0")), raw_profile()])
def test_orientation_is_found_wherever_it_stands(tmp_path, note, is_last):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(path)
    assert not has_orientation(path) and read_header(path).shape == (30, 40)
    data = path.read_bytes()
    at = len(data) - 12 if is_last else 33  # before IEND, or after IHDR
    path.write_bytes(data[:at] + note + data[at:])
    with pytest.raises(ImageError, match="orientation 6"):
        read_header(path)
