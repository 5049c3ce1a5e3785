"""Which reader a contour file goes to: the one place where suffixes are known."""

from __future__ import annotations

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.csl import read_csl
from cytomesh.study.contour_formats.features import ContourFeature
from cytomesh.study.contour_formats.geojson import geojson_features
from cytomesh.study.contour_formats.imagej import read_imagej
from cytomesh.study.contour_formats.json_file import load_json
from cytomesh.study.contour_formats.masks import read_mask
from cytomesh.study.contour_formats.microdraw import is_microdraw, microdraw_features
from cytomesh.study.contour_formats.svg import read_svg
from cytomesh.study.headers import read_header
from cytomesh.study.problems import attempt
from cytomesh.study.sections import Section

# QuPath's GeoJSON and MicroDraw's regions.
JSON = (".geojson", ".json", ".geojson.gz", ".json.gz")
IMAGEJ = (".roi", ".zip")
SVG = (".svg", ".svgz")
CSL = (".csl",)
MASKS = (".png", ".tif", ".tiff", ".nii", ".nii.gz")
SUFFIXES = (*JSON, *IMAGEJ, *SVG, *CSL, *MASKS)


def read_features(section: Section, known: frozenset[str]) -> list[ContourFeature]:
    """Read the features of a section's contour file by the reader of its suffix.

    Raises
    ------
    ContourError
        If the suffix is unknown, or the file cannot be read.
    """
    path, settings, image = section.contours, section.contour_settings, section.image
    if path is None:
        raise ContourError(section.name, found="no contours", hint="declare them in the section table")
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise ContourError(path, found=f"unknown contour format '{path.suffix}'", expected=", ".join(SUFFIXES))
    if name.endswith(IMAGEJ):
        return read_imagej(path)
    header = None if image is None else attempt([], lambda: read_header(image))
    shape = header.shape if header else None
    if name.endswith(JSON):
        document = load_json(path)
        if is_microdraw(document):
            return microdraw_features(path, document, settings.microdraw_px_per_unit, shape)
        return geojson_features(path, document)
    if name.endswith(SVG):
        return read_svg(path, settings.svg_px_per_unit, known, shape)
    if not settings.labels:
        raise ContourError(
            path,
            found="labels without a meaning",
            expected="contours.labels in the manifest",
            hint="such as contours: {labels: {pial_L: [1, 2], white_L: [2]}} for 1 grey and 2 white matter",
        )
    if name.endswith(CSL):
        return read_csl(path, section.plane, section.name, settings.labels)
    scale = (settings.mask_um_per_px or section.um_per_px) / section.um_per_px
    return read_mask(path, scale, settings.labels, shape)
