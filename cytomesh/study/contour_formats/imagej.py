"""ImageJ regions of interest: one `.roi`, or a ROI manager's `.zip`."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import (
    MAX_BYTES,
    MAX_FEATURES,
    MAX_POINTS,
    ContourFeature,
    Ring,
    close,
    read_bytes,
    too_many_features,
    too_many_points,
    without_number,
)
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contour_formats.reader import ContourReader, Drawing

# Regions whose outline is their vertices. ImageJ closes them without repeating the first.
OUTLINES = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT)


class ImageJReader(ContourReader):
    """ImageJ's ROIs, one by one or zipped."""

    suffixes = (".roi", ".zip")

    def read(self, drawing: Drawing) -> list[ContourFeature]:
        """Return the ROIs."""
        return read_imagej(drawing.path)


def read_imagej(path: Path) -> list[ContourFeature]:
    """Read polygon, freehand, traced, rectangle and composite ROIs; the ROI's name is its class ("pial_L-2": pial_L).

    ImageJ's coordinates count from the corner of pixel (0, 0), like QuPath's. Lines, points, ovals and fitted
    splines have no exact ring and are reported as such. Every member of a ZIP counts, under whatever name; what macOS
    adds to archives (`__MACOSX/`, `._pial_L.roi`) does not.

    Raises
    ------
    ContourError
        If the file is missing, is no ROI or ZIP of ROIs, or exceeds a limit.
    """
    data = read_bytes(path)
    try:
        files = _members(path, data) if path.suffix.lower() == ".zip" else [(path.name, data)]
        rois = [(name, ImagejRoi.frombytes(content)) for name, content in files]
    except ContourError:
        raise
    except Exception as cause:  # struct.error, ValueError, TypeError, BadZipFile, ... on damaged input
        raise ContourError(
            path,
            found=f"a file that cannot be read ({type(cause).__name__}: {cause})",
            expected="an ImageJ ROI, or a ZIP of them",
            hint="in ImageJ: ROI Manager > More > Save",
        ) from cause
    features = [_feature(path, name, roi) for name, roi in rois]
    count = sum(len(ring) for feature in features for polygon in feature.polygons for ring in polygon)
    if count > MAX_POINTS:
        raise too_many_points(path, count)
    return features


def _members(path: Path, data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [info for info in archive.infolist() if _is_roi(PurePosixPath(info.filename))]
        if len(members) > MAX_FEATURES:
            raise too_many_features(path, len(members))
        size = sum(info.file_size for info in members)
        if size > MAX_BYTES:
            raise ContourError(
                path,
                found=f"ROIs of {size / 2**20:.0f} MiB, unpacked",
                expected=f"at most {MAX_BYTES / 2**20:.0f} MiB (limit MAX_BYTES)",
            )
        if not members:
            raise ContourError(path, found="a ZIP without ROIs", expected="files that end with .roi")
        # zipfile unpacks no more than the size that a member declares
        return [(info.filename, archive.read(info)) for info in members]


def _is_roi(member: PurePosixPath) -> bool:
    is_resource = member.parts[:1] == ("__MACOSX",) or member.name.startswith("._")
    return member.suffix.lower() == ".roi" and not is_resource


def _feature(path: Path, file: str, roi: ImagejRoi) -> ContourFeature:
    name = roi.name or Path(file).stem
    place = f"ROI '{name}'"
    names = without_number(name)
    kind = ROI_TYPE(roi.roitype).name.lower()
    if roi.subtype in (ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT):
        kind = ROI_SUBTYPE(roi.subtype).name.lower()
    elif roi.options & ROI_OPTIONS.SPLINE_FIT:
        kind = "fitted spline"
    elif roi.roitype in OUTLINES and not (roi.rounded_rect_arc_size and roi.roitype == ROI_TYPE.RECT):
        try:
            rings: list[Ring] = [close(np.asarray(ring, np.float64)) for ring in _rings(roi)]
        except (RuntimeError, NotImplementedError, IndexError) as cause:
            return ContourFeature(place, names, fault=f"an outline that cannot be read ({cause})")
        return ContourFeature(place, names, even_odd(rings, path), plane=_plane(roi))
    return ContourFeature(place, names, fault=f"an open or curved ROI ({kind})")


def _plane(roi: ImagejRoi) -> str:
    """Return the place in the stack; counted from 1, 0 is none, and the channel is no place."""
    if roi.z_position or roi.t_position:
        return f"z = {roi.z_position}, t = {roi.t_position}"
    return f"slice {roi.position}" if roi.position else ""


def _rings(roi: ImagejRoi) -> list[Ring]:
    if roi.roitype == ROI_TYPE.RECT and roi.subpixelrect and not roi.composite:
        x, y, width, height = roi.xd, roi.yd, roi.widthd, roi.heightd
        return [np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])]
    return list(roi.coordinates(multi=True))
