"""Whether a brain has the size of a brain, and the hemispheres that are declared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from cytomesh.core.errors import StudyError
from cytomesh.study.contours import SectionContours
from cytomesh.study.image_checks import CheckedImage
from cytomesh.study.section_order import positions
from cytomesh.study.sections import Section

# Elephants and whales have the largest brains, of about 300 mm.
MAX_EXTENT_MM = 400.0
# The field of a light microscope with an immersion lens is twice as wide.
MIN_IMAGE_MM = 0.1
# Length of the stack by the longest side of the rings in a section. Human hemispheres: 0.4 (sagittal) to 1.5 (coronal).
# A stack may be a short block; only where the rings shrink towards both ends does it hold the whole.
MIN_RATIO, MAX_RATIO = 0.2, 5.0
END_SHARE = 0.3
FEWEST = 5


def check_extent(
    source: Path, brain: str, sections: Sequence[Section], contours: Sequence[SectionContours | None]
) -> list[StudyError]:
    """Compare the length of a stack with the size of its rings, and both with that of any brain; never raises.

    Parameters
    ----------
    source : Path
        The section table or the manifest, for the message.
    """
    offsets = positions(list(sections))
    if not offsets.size:
        return []
    hint = "positions are in mm: correct the origins (3rd, 6th and 9th number of to_world)"
    length = float(np.ptp(offsets))
    expected = f"a brain of at most {MAX_EXTENT_MM:g} mm"
    if length > MAX_EXTENT_MM:
        found = f"sections over {length:,.0f} mm"
        return [StudyError(source, f"{brain}: to_world", found=found, expected=expected, hint=hint)]
    drawn = [
        (offset, *_size(section, item))
        for offset, section, item in zip(offsets, sections, contours, strict=True)
        if item is not None and any(not rings.pial.is_empty for rings in item.values())
    ]
    if not drawn:
        return []
    heights, widths, areas = np.array(sorted(drawn)).T
    length, width = float(np.ptp(heights)), float(widths.max())
    if width > MAX_EXTENT_MM:
        found, way_out = f"pial rings over {width:,.0f} mm", "correct um_per_px and to_world: um and mm a pixel"
        return [StudyError(source, f"{brain}: to_world", found=found, expected=expected, hint=way_out)]
    is_whole = len(drawn) >= FEWEST and max(areas[0], areas[-1]) < END_SHARE * areas.max()
    if length > MAX_RATIO * width or (is_whole and length < MIN_RATIO * width):
        found = f"sections with cortex over {length:.1f} mm, and pial rings over {width:.1f} mm"
        expected = "a length of the stack that goes with the size of its rings"
        hint = f"{hint}, or um_per_px"
        return [StudyError(source, f"{brain}: to_world", found=found, expected=expected, hint=hint)]
    return []


def check_image_sizes(
    table: Path, brain: str, sections: Sequence[Section], images: Sequence[CheckedImage | None]
) -> list[StudyError]:
    """Find images that are too small for cortex, or larger than any brain, by their pixel sizes."""
    sizes = {
        section.name: max(image.header.shape) * section.um_per_px / 1000
        for section, image in zip(sections, images, strict=True)
        if image is not None
    }
    odd = {name: size for name, size in sizes.items() if not MIN_IMAGE_MM <= size <= MAX_EXTENT_MM}
    if not odd:
        return []
    name, size = next(iter(odd.items()))
    others = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
    found = f"an image {size:.2g} mm long in {name}{others}"
    expected = f"{MIN_IMAGE_MM:g} to {MAX_EXTENT_MM:g} mm"
    hint = "um_per_px is the side of a pixel of the full resolution in micrometres: correct it, and to_world"
    return [StudyError(table, f"{brain}: um_per_px", found=found, expected=expected, hint=hint)]


def check_hemispheres(
    table: Path, hemispheres: Sequence[str], sections: Sequence[Section], contours: Sequence[SectionContours | None]
) -> list[StudyError]:
    """Find declared hemispheres that no section shows, and contour files that are all empty.

    Nothing is said where sections are at fault (None, although they have a file): the rings may be theirs.
    """
    if any(item is None and section.contours for section, item in zip(sections, contours, strict=True)):
        return []
    read = [item for item in contours if item is not None]
    counts = {side: sum(side in item and not item[side].pial.is_empty for item in read) for side in ("L", "R")}
    absent = [side for side in hemispheres if not counts[side]]
    if not read or not absent:
        return []
    names = " and ".join(f"pial_{side}" for side in absent)
    others = [f"pial_{side} in {n}" for side, n in counts.items() if n]
    found = f"no {names} in any of {len(read)} contour files" + (f", but {others[0]}" if others else "")
    hint = "correct hemispheres in the manifest, or the names of the rings (contours.classes can)"
    if not others:
        hint = "were the contours exported? Draw pial and white boundaries, or write n/a for contours"
    place = f"hemisphere{'s' * (len(absent) > 1)} {', '.join(absent)}"
    return [StudyError(table, place, found=found, expected="rings of each declared hemisphere", hint=hint)]


def _size(section: Section, contours: SectionContours) -> tuple[float, float]:
    """Return the longer side of the box around a section's pial rings, mm, and their area, mm2."""
    regions = [rings.pial for rings in contours.values()]
    low, high = shapely.total_bounds(regions).reshape(2, 2)
    column, row = np.array(section.plane.um_per_px) / 1000
    return float(((high - low) * (column, row)).max()), sum(region.area for region in regions) * column * row
