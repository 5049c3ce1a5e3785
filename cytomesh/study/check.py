"""Check a whole study and find every problem at once: manifest, tables, transforms, atlas, images, contours."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from pydantic import ValidationError

from cytomesh.core.config import describe, read_yaml
from cytomesh.core.errors import CytomeshError, ImageError, StudyError
from cytomesh.core.labels import LabelTable
from cytomesh.core.parallel import map_ordered
from cytomesh.core.progress import track
from cytomesh.study.annotation import AnnotationImage, read_annotation
from cytomesh.study.atlas import load_atlas
from cytomesh.study.contour_stack import check_stack, check_white
from cytomesh.study.contours import SectionContours, parse_contours
from cytomesh.study.headers import ImageHeader, read_header
from cytomesh.study.manifest import BrainConfig, Manifest, SurfaceFiles
from cytomesh.study.neighbours import check_neighbours, check_sides
from cytomesh.study.pixels import check_pixels, decode_all
from cytomesh.study.problems import absent_files, attempt
from cytomesh.study.sections import Section, parse_sections, positions
from cytomesh.study.study import load_labels
from cytomesh.study.transforms import load_transform
from cytomesh.study.units import PIXEL_SIZE_TOLERANCE
from cytomesh.study.warps import warped_plane

# Annotations may hold the other hemisphere, too, without contours: about half of the labelled pixels.
MAX_OUTSIDE = 0.6
SAMPLED_PIXELS = 20000
# Fewer are checked before processes have started.
FEW_SECTIONS = 100
Depth = Literal["quick", "usual", "thorough"]
Look = Callable[[Section, SectionContours], list[CytomeshError]]
LookAtSurfaces = Callable[
    [Mapping[str, SurfaceFiles], Sequence[Section], Sequence[SectionContours | None], Depth], list[CytomeshError]
]


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


def check_study(
    path: Path, depth: Depth = "usual", look: Look | None = None, workers: int = 1, own: LookAtSurfaces | None = None
) -> CheckReport:
    """Read everything a manifest refers to and report all problems; never raises for them.

    Parameters
    ----------
    path : Path
        The manifest.
    depth : {"quick", "usual", "thorough"}
        Of images: headers only; the places, too, where a file that was cut off ends; or every pixel.
    look : callable, optional
        Compares a section's image with its contours, such as `cytomesh.imaging.ring_fit.check_rings`; not if quick.
    workers : int
        Processes.
    own : callable, optional
        Compares surfaces that the study gives with its sections: `cytomesh.graph.own_surfaces.check_own_surfaces`.
    """
    path = path.resolve()
    problems: list[CytomeshError] = []
    manifest = _tolerant_manifest(path, problems)
    if manifest is None:
        return CheckReport(path, problems=tuple(problems))
    folder = path.parent
    labels = attempt(problems, lambda: load_labels(manifest, path))
    has_maps = _check_atlas(manifest, labels, path, problems)
    for side, surfaces in manifest.space.template.items():
        template = {kind: getattr(surfaces, kind) for kind in ("pial", "white")}
        problems += absent_files(path, f"space.template.{side}", template)
    headers: list[ImageHeader] = []
    areas = None if manifest.atlas is None else labels
    brains = []
    for settings in manifest.brains:
        attempt(problems, lambda settings=settings: load_transform(settings.to_reference, folder))  # type: ignore[misc]
        sections, found = parse_sections(folder / settings.sections, settings.id, manifest.contours)
        problems += found
        check = partial(_check_section, labels=areas, depth=depth, look=look)
        looked = map_ordered(check, sections, workers if len(sections) > FEW_SECTIONS else 1)
        contours = []
        for header, drawn, faults in track(looked, f"Check {settings.id}", len(sections), "sections"):
            headers += [header] if header else []
            contours.append(drawn)
            problems += faults
        problems += [problem for _, problem in check_stack(sections, contours).problems]
        rebuilt = [side for side in settings.hemispheres if side not in settings.surfaces]
        problems += check_white(folder / settings.sections, rebuilt, sections, contours)
        given = {str(side): files.within(folder) for side, files in settings.surfaces.items()}
        for name, files in given.items():
            problems += absent_files(path, f"brains.{settings.id}.surfaces.{name}", files.files)
        if own is not None:
            problems += own(given, sections, contours, depth)
        problems += check_sides(folder / settings.sections, sections, contours)
        problems += check_neighbours(folder / settings.sections, sections, contours)
        n_annotated = sum(section.annotation is not None for section in sections)
        if manifest.atlas is None and n_annotated:
            problems.append(
                StudyError(
                    path,
                    "atlas",
                    found=f"annotations of {n_annotated} sections of {settings.id}, and nothing that names their areas",
                    expected="a label table",
                    hint="give atlas: {labels: labels.tsv, space: ...} in the manifest, or write n/a for annotations",
                )
            )
        brains.append(_summary(settings, sections))
    problems += _check_channels(headers)
    return CheckReport(
        path=path,
        name=manifest.name,
        species=manifest.species,
        stain=manifest.stain,
        space=manifest.space.name,
        n_areas=len(labels) if labels is not None else 0,
        has_probability_maps=has_maps,
        brains=tuple(brains),
        problems=tuple(problems),
    )


def _check_atlas(manifest: Manifest, labels: LabelTable | None, path: Path, problems: list[CytomeshError]) -> bool:
    settings = manifest.atlas
    if settings is None or labels is None:
        return False
    atlas = attempt(problems, lambda: load_atlas(settings, labels, manifest.space.name, path))
    if atlas is not None:
        attempt(problems, atlas.check)
    return settings.probability_maps is not None


def _check_section(
    section: Section, *, labels: LabelTable | None, depth: Depth, look: Look | None
) -> tuple[ImageHeader | None, SectionContours | None, list[CytomeshError]]:
    """Return the header of one section's image, its contours if they are right, and what is wrong with its files."""
    problems: list[CytomeshError] = []
    image = section.image
    header: ImageHeader | None = None
    is_whole = False
    if image is not None:
        header = attempt(problems, lambda: read_header(image))
        if header is not None:
            before = len(problems)
            check = {"quick": None, "usual": check_pixels, "thorough": decode_all}[depth]
            if check is not None:
                attempt(problems, lambda: check(header))
            is_whole = len(problems) == before
            stated = header.um_per_px
            if stated and abs(stated / section.um_per_px - 1) > PIXEL_SIZE_TOLERANCE:
                found = f"{stated:g} um/px in the image, {section.um_per_px:g} in the section table"
                hint = "correct um_per_px and to_world (both are of the full-resolution level), or the image's metadata"
                problems.append(ImageError(image, section.name, found=found, expected="the same pixel size", hint=hint))
    contours: SectionContours | None = None
    if section.contours is not None:
        contours, faults = parse_contours(section)
        problems += faults
        # rings at fault would only be reported once more by the comparison
        contours = None if faults else contours
    if look is not None and depth != "quick" and is_whole and contours is not None:
        problems += look(section, contours)
    attempt(problems, lambda: warped_plane(section))
    if section.annotation is not None and labels is not None:
        before = len(problems)
        annotation = attempt(problems, lambda: read_annotation(section, labels))
        if annotation is not None and contours is not None:
            problems += _check_place(section, annotation, contours)
        # An image that cannot be read has been reported already.
        problems[before:] = [p for p in problems[before:] if image is None or p.source != str(image)]
    return header, contours, problems


def _check_place(section: Section, annotation: AnnotationImage, contours: SectionContours) -> list[CytomeshError]:
    """Compare an annotation with the pial boundaries: areas of the cortex lie inside them."""
    pial = shapely.union_all([rings.pial for rings in contours.values()])
    labelled = np.flatnonzero(annotation.labels)
    if pial.is_empty or not labelled.size:
        return []
    chosen = labelled[:: max(1, labelled.size // SAMPLED_PIXELS)]
    rows, columns = np.divmod(chosen, annotation.labels.shape[1])
    # corners of annotation and image coincide, not the centres of their pixels
    x, y = ((places + 0.5) * annotation.um_per_px / section.um_per_px - 0.5 for places in (columns, rows))
    outside = 1 - float(shapely.contains_xy(pial, x, y).mean())
    if outside <= MAX_OUTSIDE:
        return []
    found = f"{outside:.0%} of the labelled pixels outside every pial contour"
    hint = "is the annotation upside down or mirrored, of another section, or of another pixel size?"
    return [ImageError(section.annotation or "", section.name, found=found, expected="areas inside", hint=hint)]


def _check_channels(headers: Iterable[ImageHeader]) -> list[CytomeshError]:
    """One study has grey or colour images, not both: the encoder has one number of input channels."""
    headers = list(headers)
    counts = [header.n_channels for header in headers]
    if len(set(counts)) < 2:
        return []
    usual = max(set(counts), key=counts.count)
    return [
        ImageError(
            header.path, found=f"{header.n_channels} channels", expected=f"{usual}, as most images of the study have"
        )
        for header in headers
        if header.n_channels != usual
    ]


def _summary(settings: BrainConfig, sections: tuple[Section, ...]) -> BrainSummary:
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


def _tolerant_manifest(path: Path, problems: list[CytomeshError]) -> Manifest | None:
    """Validate the manifest; if it is wrong, report that and go on with the parts that are right."""
    data = attempt(problems, lambda: read_yaml(path, StudyError))
    if data is None:
        return None
    try:
        return Manifest.model_validate(data)
    except ValidationError as cause:
        for text, item in zip(describe(Manifest, cause), cause.errors(), strict=True):
            field = ".".join(str(part) for part in item["loc"])
            found = text.removeprefix(f"{field}: ")
            problems.append(StudyError(path, field, found=found, hint="correct the manifest"))
        try:
            return Manifest.model_validate(_without(data, [(item["loc"], item["type"]) for item in cause.errors()]))
        except ValidationError:
            return None


def _without(data: dict[str, Any], faults: list[tuple[tuple[int | str, ...], str]]) -> dict[str, Any]:
    """Return the manifest's data without what is at fault: unknown keys, whole brains, whole optional groups."""
    data = copy.deepcopy(data)
    placeholders: dict[str, Any] = {"name": "?", "species": "?", "stain": "?"}
    brains: set[int] = set()
    for place, kind in faults:
        if kind == "extra_forbidden":
            _delete(data, place)
        elif len(place) > 1 and place[0] == "brains":
            brains.add(int(place[1]))
        elif place and place[0] in placeholders:
            data[str(place[0])] = placeholders[str(place[0])]
        elif place and place[0] == "space":
            atlas = data.get("atlas")
            data["space"] = {"name": str(atlas.get("space", "?")) if isinstance(atlas, dict) else "?"}
        elif place:
            data.pop(str(place[0]), None)
    if isinstance(data.get("brains"), list):
        kept = [brain for i, brain in enumerate(data["brains"]) if i not in brains]
        data["brains"] = list(
            {brain.get("id", i): brain for i, brain in enumerate(kept) if isinstance(brain, dict)}.values()
        )
    return data


def _delete(data: Any, place: tuple[int | str, ...]) -> None:
    for part in place[:-1]:
        data = data[part]
    del data[place[-1]]
