"""What `study check` reports: what a study consists of, and everything that is wrong with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cytomesh.core.errors import CytomeshError
from cytomesh.study.manifest import BrainConfig
from cytomesh.study.section_order import positions
from cytomesh.study.sections import Section


@dataclass(frozen=True, slots=True)
class BrainSummary:
    """What one brain consists of; `first_mm` and `last_mm` are plane positions along the stack."""

    id: str
    role: str
    hemispheres: str
    n_sections: int
    n_images: int
    n_contours: int
    n_annotations: int
    n_missing: int
    n_damaged: int
    first_mm: float
    last_mm: float


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a study consists of, and everything that is wrong with it.

    Parameters
    ----------
    path : Path
        The manifest.
    name, species, stain, space : str
        As in the manifest; empty if it cannot be read.
    n_areas : int
        Rows of the label table.
    has_probability_maps : bool
        Whether there are probability maps.
    brains : tuple of BrainSummary
        One a brain that could be read.
    problems : tuple of CytomeshError
        Each names its file and the place in it; empty if all is well.
    """

    path: Path
    name: str = ""
    species: str = ""
    stain: str = ""
    space: str = ""
    n_areas: int = 0
    has_probability_maps: bool = False
    brains: tuple[BrainSummary, ...] = ()
    problems: tuple[CytomeshError, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        facts = {
            name: getattr(self, name)
            for name in ("name", "species", "stain", "space", "n_areas", "has_probability_maps")
        }
        problems = [
            {
                "file": problem.source,
                "place": problem.place,
                "found": problem.found,
                "expected": problem.expected,
                "hint": problem.hint,
            }
            for problem in self.problems
        ]
        return {
            "path": str(self.path),
            **facts,
            "brains": [asdict(brain) for brain in self.brains],
            "problems": problems,
        }


def summarise(settings: BrainConfig, sections: tuple[Section, ...]) -> BrainSummary:
    """Count what the sections of a brain have."""
    offsets = positions(sections)
    statuses = [section.status for section in sections]
    return BrainSummary(
        id=settings.id,
        role=settings.role,
        hemispheres="".join(settings.hemispheres),
        n_sections=len(sections),
        n_images=sum(section.image is not None for section in sections),
        n_contours=sum(section.contours is not None for section in sections),
        n_annotations=sum(section.annotation is not None for section in sections),
        n_missing=statuses.count("missing"),
        n_damaged=statuses.count("damaged"),
        first_mm=float(offsets[0]) if len(offsets) else 0.0,
        last_mm=float(offsets[-1]) if len(offsets) else 0.0,
    )
