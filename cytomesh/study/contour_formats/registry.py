"""Which reader a contour file goes to; other packages add theirs (see `Registry`)."""

from __future__ import annotations

from cytomesh.core.errors import ContourError
from cytomesh.core.registry import Registry, by_suffix
from cytomesh.study.contour_formats.features import ContourFeature
from cytomesh.study.contour_formats.reader import ContourReader, Drawing
from cytomesh.study.image_formats.registry import header_if_readable
from cytomesh.study.sections import Section

CONTOUR_READERS: Registry[ContourReader] = Registry(
    "cytomesh.contour_readers",
    ContourReader,
    {
        "json": "cytomesh.study.contour_formats.json_file:JsonReader",
        "imagej": "cytomesh.study.contour_formats.imagej:ImageJReader",
        "svg": "cytomesh.study.contour_formats.svg:SvgReader",
        "csl": "cytomesh.study.contour_formats.csl:CslReader",
        "masks": "cytomesh.study.contour_formats.masks:MaskReader",
    },
)


def read_features(section: Section, known: frozenset[str]) -> list[ContourFeature]:
    """Read the features of a section's contour file by the reader of its suffix.

    Raises
    ------
    ContourError
        If the suffix is unknown, or the file cannot be read.
    """
    path = section.contours
    if path is None:
        raise ContourError(section.name, found="no contours", hint="declare them in the section table")
    reader = by_suffix(CONTOUR_READERS, path)
    if reader is None:
        expected = ", ".join(suffix for reader in CONTOUR_READERS.values() for suffix in reader.suffixes)
        raise ContourError(path, found=f"unknown contour format '{path.suffix}'", expected=expected)
    header = header_if_readable(section.image, section.image_part)
    return reader().read(Drawing(path, section, known, header.shape if header else None))
