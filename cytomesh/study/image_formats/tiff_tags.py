"""What the tags of a TIFF say of its pixels: which page is the section, what the values mean, how large a pixel is."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.study.image_formats.reader import Alpha
from cytomesh.study.units import micrometres, square_um

# Bytes of a value by its type: TIFF 6.0, section 2; 13: IFD; 16 to 18: BigTIFF.
TAG_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
MAX_TAGS = 4096
# Programs that know no pixel size state the resolution of a screen or printer, in dots an inch, or 1 px/mm (libvips).
DEFAULT_DPI = (72.0, 96.0, 150.0, 300.0)
COARSEST_UM = 990.0
UPRIGHT = 1
MEANINGS = {
    0: "white as 0 and black as 255 (photometric WhiteIsZero)",
    3: "numbers of colours in a palette, not of 8 bits",
    5: "CMYK colours",
    6: "YCbCr colours that are not compressed as JPEG",
    8: "CIE L*a*b* colours",
}
HINT_COLOURS = "save it as plain grey (0 is black) or RGB, 8 or 16 bits a channel"
BITS = (8, 16, 32)
# ExtraSamples: TIFF 6.0, section 18.
ALPHA: dict[int, Alpha] = {1: "premultiplied", 2: "straight"}
YCBCR, JPEG, PALETTE = 6, 7, 3


def section_series(path: Path, tiff: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """Return the first image of a TIFF.

    Raises
    ------
    ImageError
        If another one is larger: then the first is a thumbnail, a macro or a label.
    """
    sizes = [(series.keyframe.imagelength, series.keyframe.imagewidth) for series in tiff.series]
    largest = max(range(len(sizes)), key=lambda i: math.prod(sizes[i]))
    if math.prod(sizes[largest]) > math.prod(sizes[0]):
        texts = [f"image {i + 1} ({sizes[i][1]} x {sizes[i][0]} px)" for i in (0, largest)]
        name = tiff.series[largest].name
        found = f"{texts[1]}{f', {name},' if name else ''} larger than {texts[0]}, a thumbnail or an overview"
        hint = "export the larger image alone; cytomesh reads the first of a file"
        raise ImageError(path, found=found, expected="the section as the first image", hint=hint)
    return tiff.series[0]


def refuse_meaning(path: Path, page: Any) -> None:
    """Raise ImageError unless a page's values are grey levels or RGB, of whole bytes, and its rows go down.

    JPEG turns YCbCr into RGB when it is decoded; any other meaning would be taken for intensities.
    """
    photometric = int(page.photometric)
    is_jpeg = photometric == YCBCR and int(page.compression) == JPEG
    is_plain = photometric in (1, 2) or is_jpeg or tiff_palette(path, page) is not None
    if not is_plain:
        found = MEANINGS.get(photometric, f"colours of photometric kind {photometric}")
        raise ImageError(path, found=found, expected="grey levels or RGB", hint=HINT_COLOURS)
    bits = page.bitspersample if isinstance(page.bitspersample, tuple) else (page.bitspersample,)
    if len(set(bits)) > 1 or bits[0] not in BITS:
        found = f"{'/'.join(map(str, bits))} bits a sample"
        raise ImageError(path, found=found, expected="8, 16 or 32 (floating point)", hint=HINT_COLOURS)
    refuse_orientation(path, page.tags.valueof(274, UPRIGHT))


def tiff_alpha(path: Path, page: Any) -> Alpha | None:
    """Return what the last sample of a page's pixels says of their transparency, None if it is a channel like others.

    Raises
    ------
    ImageError
        If samples other than the last one do, or their values are floating point.
    """
    kinds = [int(kind) for kind in page.extrasamples or ()]
    alphas = [kind for kind in kinds if kind in ALPHA]
    if not alphas:
        return None
    if kinds[-1] not in ALPHA or len(alphas) > 1 or page.dtype.kind == "f":
        found = f"transparency in {len(alphas)} further samples of {page.dtype}"
        hint = "save it without an alpha channel, on the background's colour"
        raise ImageError(path, found=found, expected="one, the last, of whole numbers", hint=hint)
    return ALPHA[kinds[-1]]


def tiff_palette(path: Path, page: Any) -> NDArray[np.uint8] | None:
    """Return the (256, 3) colours that a page's values of 8 bits are numbers of, None if they are no such numbers."""
    if int(page.photometric) != PALETTE or page.dtype != np.uint8 or page.samplesperpixel != 1:
        return None
    colours = page.colormap
    if colours is None or colours.shape != (3, 256):
        raise ImageError(path, found="a palette without its colours", expected="256 of them", hint=HINT_COLOURS)
    # 16 bits each (TIFF 6.0, section 5); some programs write 8, as libtiff knows
    return (colours if colours.max() < 256 else colours >> 8).astype(np.uint8).T


def ome_channels(xml: str | None) -> list[object]:
    """Return the names of the first image's channels in OME-XML, in their order."""
    if not xml:
        return []
    channels = _ome_pixels(tifffile.xml2dict(xml)["OME"]).get("Channel", [])
    return [channel.get("Name") for channel in (channels if isinstance(channels, list) else [channels])]


def refuse_orientation(path: Path, orientation: object) -> None:
    """Raise ImageError if an image (TIFF tag or EXIF) asks to be turned or mirrored for display.

    Some programs do so and some do not: contours drawn in one do not fit the image in another.
    """
    if orientation not in (None, 0, UPRIGHT):
        hint = "turn the pixels themselves (ImageMagick: mogrify -auto-orient FILE), and draw contours in that image"
        raise ImageError(path, found=f"orientation {orientation}", expected="1, rows as they are stored", hint=hint)


def tiff_pixel_size(path: Path, tiff: tifffile.TiffFile, page: Any) -> float | None:
    """Return the pixel size that a TIFF states, um: in OME-XML, ImageJ's or Aperio's description, or its own tags."""
    for found in (_ome(path, tiff.ome_metadata), _imagej(tiff.imagej_metadata, page), _aperio(page), _resolution(page)):
        if found is not None and (size := square_um(path, *found)) is not None:
            return size
    return None


def _ome(path: Path, xml: str | None) -> tuple[float, float] | None:
    if not xml:
        return None
    facts = tifffile.xml2dict(xml)["OME"]
    if "BinaryOnly" in facts:
        where = dict(facts["BinaryOnly"] or {}).get("MetadataFile", "another file")
        hint = f"convert it together with {where} to an OME-TIFF that has its own metadata (bfconvert), or to OME-Zarr"
        raise ImageError(path, found=f"an OME-TIFF whose metadata are in {where}", expected="one file", hint=hint)
    return _both(*(_length(_ome_pixels(facts), axis) for axis in "XY"))


def _ome_pixels(facts: dict[str, Any]) -> dict[str, Any]:
    image = facts["Image"]
    return dict((image[0] if isinstance(image, list) else image)["Pixels"])


def _length(pixels: dict[str, Any], axis: str) -> float | None:
    """Return PhysicalSizeX or Y in um; the unit is micrometres unless one is stated (OME 2016-06)."""
    size, unit = pixels.get(f"PhysicalSize{axis}"), micrometres(pixels.get(f"PhysicalSize{axis}Unit", "um"))
    return float(size) * unit if size and unit else None


def _imagej(facts: dict[str, Any] | None, page: Any) -> tuple[float, float] | None:
    """ImageJ names the unit in its description and keeps pixels per unit in the resolution tags."""
    units = [_imagej_unit((facts or {}).get(key)) for key in ("unit", "yunit")]
    return _scaled(page, units[0], units[1] or units[0])


def _imagej_unit(name: object) -> float | None:
    return None if name is None else micrometres(re.sub(r"\\u00b5", "µ", str(name), flags=re.IGNORECASE))


def _aperio(page: Any) -> tuple[float, float] | None:
    found = re.search(r"\|\s*MPP\s*=\s*(\d*[.,]?\d+(?:[eE][-+]?\d+)?)", page.description or "")
    if found is None:
        return None
    size = float(found[1].replace(",", "."))  # of programs in languages with decimal commas
    return size, size


def _resolution(page: Any) -> tuple[float, float] | None:
    unit = {2: 25400.0, 3: 1e4}.get(int(page.tags.valueof(296, 2)))
    found = _scaled(page, unit, unit)
    if found is None or found[0] > COARSEST_UM or any(abs(found[0] * dpi / 25400 - 1) < 0.01 for dpi in DEFAULT_DPI):
        return None
    return found


def _scaled(page: Any, column_um: float | None, row_um: float | None) -> tuple[float, float] | None:
    """Return the sizes behind the resolution tags: each a fraction, pixels per unit."""
    sizes = []
    for tag, unit in ((282, column_um), (283, row_um)):
        pixels, units = page.tags.valueof(tag, (0, 0))
        sizes.append(unit * units / pixels if unit and pixels else None)
    return _both(*sizes)


def _both(column_um: float | None, row_um: float | None) -> tuple[float, float] | None:
    if column_um is None:
        return None
    return column_um, column_um if row_um is None else row_um


def refuse_cut_off(path: Path, tiff: tifffile.TiffFile, pages: Iterable[Any]) -> None:
    """Raise ImageError if tiles, tags or further pages lie beyond the end of the file.

    tifffile logs a tag that is not there and goes on without it: an OME-TIFF that lost its end would have lost its
    pixel size.
    """
    size = path.stat().st_size
    end = size
    hint = "copy or export the image again"
    for page in pages:
        n_tiles = math.prod(page.chunked)
        if isinstance(page, tifffile.TiffPage) and len(page.dataoffsets) < n_tiles:
            found = f"{len(page.dataoffsets)} tiles or strips in the file"
            raise ImageError(path, found=found, expected=f"the {n_tiles} of its size", hint=hint)
        for starts, counts in ((page.dataoffsets, page.databytecounts), (getattr(page, "subifds", None) or (), None)):
            lengths = counts or (1,) * len(starts)
            end = max(end, *(start + n for start, n in zip(starts, lengths, strict=True)), 0)
        if isinstance(page, tifffile.TiffPage) and not tiff.is_ndpi:  # its offsets have further bits elsewhere
            end = max(end, *_tag_ends(tiff, page), 0)
    if end > size:
        raise ImageError(path, found=f"a file cut off after {size} bytes", expected=f"{end} bytes", hint=hint)


def _tag_ends(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Iterator[int]:
    """Yield where the values of a page's tags end that stand elsewhere in the file (TIFF 6.0, section 2)."""
    facts, stream = tiff.tiff, tiff.filehandle
    stream.seek(page.offset)
    (n,) = struct.unpack(facts.tagnoformat, stream.read(facts.tagnosize))
    entries = stream.read(min(n, MAX_TAGS) * facts.tagsize)
    order, word = facts.byteorder, "I" if facts.offsetsize == 4 else "Q"
    for start in range(0, len(entries) - facts.tagsize + 1, facts.tagsize):
        _, kind, count, offset = struct.unpack_from(f"{order}HH{word}{word}", entries, start)
        n_bytes = count * TAG_BYTES.get(kind, 0)
        if n_bytes > facts.offsetsize:
            yield offset + n_bytes
