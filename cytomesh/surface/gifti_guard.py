"""What a GIFTI file says of itself, looked at before nibabel reads it, which unpacks and follows what it is told."""

from __future__ import annotations

import base64
import math
import zlib
from pathlib import Path
from xml.parsers.expat import ParserCreate

from nibabel.gifti.util import gifti_encoding_codes
from nibabel.nifti1 import data_type_codes

from cytomesh.core.errors import SurfaceError

# Of a file, and of each of its arrays: a surface of 30 million vertices.
MAX_BYTES = 2**30
MAX_DEPTH = 32


def refuse_bombs(path: Path, raw: bytes) -> None:
    """Refuse external files, XML entities, endless nesting, and packed data that are not of the size they say.

    Raises
    ------
    SurfaceError
        For external data and entities.
    ValueError, LookupError, zlib.error, ExpatError
        For what is damaged or too large.
    """
    guard = _Guard(path)
    parser = ParserCreate()
    parser.buffer_text = True
    parser.EntityDeclHandler = guard.entity
    parser.StartElementHandler, parser.EndElementHandler = guard.start, guard.end
    parser.CharacterDataHandler = guard.text
    parser.Parse(raw, True)


class _Guard:
    """Handlers of the parser's events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.depth = 0
        self.packed: int | None = None
        """Bytes that the packed data of this array should have; None for others."""
        self.parts: list[str] | None = None

    def entity(self, *_: object) -> None:
        raise self._outside()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"elements nested more than {MAX_DEPTH} deep")
        if name == "DataArray":
            self._array(attributes)
        elif name == "Data" and self.packed is not None:
            self.parts = []

    def end(self, name: str) -> None:
        self.depth -= 1
        if name == "Data" and self.packed is not None and self.parts is not None:
            stream = zlib.decompressobj()
            unpacked = stream.decompress(base64.b64decode("".join(self.parts)), self.packed + 1)
            self.parts = None
            if len(unpacked) != self.packed or not stream.eof:
                raise ValueError(f"packed data that are not the {self.packed:,} bytes of their array")

    def text(self, data: str) -> None:
        if self.parts is not None:
            self.parts.append(data)

    def _array(self, attributes: dict[str, str]) -> None:
        if attributes.get("ExternalFileName"):
            raise self._outside()
        n_axes = int(attributes["Dimensionality"])
        shape = [int(attributes[f"Dim{i}"]) for i in range(min(n_axes, 6))]
        size = math.prod(shape) * data_type_codes.dtype[attributes["DataType"]].itemsize
        if not 1 <= n_axes <= 6 or min(shape) < 0 or size > MAX_BYTES:
            raise ValueError(f"an array of {n_axes} axes, {shape}")
        is_packed = gifti_encoding_codes.label[attributes["Encoding"]] == "B64GZ"
        self.packed = size if is_packed else None

    def _outside(self) -> SurfaceError:
        return SurfaceError(
            self.path,
            found="external data or XML entities",
            expected="a self-contained GIFTI file",
            hint="write it again with base64-encoded data (wb_command -gifti-convert GZIP_BASE64_BINARY)",
        )
