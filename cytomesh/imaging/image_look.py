"""What `study check` sees in images: whether rings lie on the tissue, and whether sections are stained alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.imaging.ring_fit import look_at_rings
from cytomesh.imaging.ring_offset import RingOffset, check_offsets
from cytomesh.imaging.thumbnail import small_image, tissue_in
from cytomesh.study.contours import SectionContours
from cytomesh.study.sections import Section
from cytomesh.study.stain import StainStatistics
from cytomesh.study.stain_checks import check_measured, check_stains


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be compared with the other sections of a brain; None where nothing can be said."""

    offset: RingOffset | None
    stain: StainStatistics | None


class ImageLook:
    """What `cytomesh.study.check.check_study` looks at images for; one thumbnail of each serves all."""

    def __call__(self, section: Section, contours: SectionContours | None) -> tuple[list[CytomeshError], Seen]:
        """Compare a section's pial rings, where there are some, with its tissue, and measure its stain."""
        small = small_image(section)
        if small is not None and section.status == "ok" and (small[1] == small[1][0, 0]).all():
            raise _blank(section, small[1][0, 0].tolist())
        thumbnail = None if small is None else tissue_in(*small)
        if thumbnail is None:
            return [], Seen(None, None)
        problems, offset = ([], None) if contours is None else look_at_rings(section, thumbnail, contours)
        return problems, Seen(offset, thumbnail.stain)

    def rings(self, table: Path, sections: Sequence[Section], seen: Sequence[Seen | None]) -> list[CytomeshError]:
        """Say what the sections of a brain have in common."""
        return check_offsets(table, sections, [None if item is None else item.offset for item in seen])

    def stains(self, manifest: Path, sections: Sequence[Section], seen: Sequence[Seen | None]) -> list[CytomeshError]:
        """Name the sections of a brain that are far from its others, and a brain that cannot be normalised."""
        stains = [None if item is None else item.stain for item in seen]
        # of what was not looked at, nothing is known
        is_known = all(item is not None or section.image is None for section, item in zip(sections, seen, strict=True))
        problems = check_measured(manifest, sections, stains) if is_known else []
        return problems + check_stains(sections, stains)


def _blank(section: Section, values: list[int]) -> ImageError:
    found = f"nothing: all pixels are {', '.join(map(str, values))}, as they are seen"
    hint = "export it again, correct image.window if there is one, or declare the section as damaged"
    return ImageError(section.image or "", section.name, found=found, expected="a stained section", hint=hint)
