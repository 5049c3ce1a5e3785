"""`cytomesh init`: a study from a folder of images and contours, with what cannot be read from them left to fill in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.files import clear_orphans, relative_place, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import warn
from cytomesh.core.registry import by_suffix
from cytomesh.core.sides import IN_FILE_NAMES, side_of, surface_of
from cytomesh.study.atlas import labels_text, read_labels
from cytomesh.study.contour_formats.features import IGNORE, OTHERS, ContourFeature, without_number
from cytomesh.study.contour_formats.registry import CONTOUR_READERS, read_features
from cytomesh.study.contours import CLASSES, TISSUE
from cytomesh.study.image_checks import CheckedImage, check_image, kinds, proposed_window
from cytomesh.study.image_formats.reader import ImageHeader
from cytomesh.study.image_formats.registry import IMAGE_READERS, read_header
from cytomesh.study.manifest import ContourSettings
from cytomesh.study.pixels import ImageSettings, known_channels, needs_channel
from cytomesh.study.planes import SectionPlane
from cytomesh.study.problems import attempt, raise_problems
from cytomesh.study.roots import is_below
from cytomesh.study.section_files import absent_numbers, files_by_stem, of_sections, section_numbers
from cytomesh.study.sections import Section, SectionRole, sections_text
from cytomesh.study.start_labels import AnnotatedAreas, is_ring, read_areas, say_absent, table_of
from cytomesh.study.start_text import TODO, Kind, Known, listed, study_text

Cut = Literal["coronal", "sagittal", "horizontal"]
# Columns: a step along the image's columns, along its rows, and along the series; RAS.
AXES: dict[Cut, list[list[int]]] = {
    "coronal": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "sagittal": [[0, 1, 0], [0, 0, -1], [1, 0, 0]],
    "horizontal": [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
}
# Of annotated sections, a proposal: each fourth tests.
ROLES: tuple[SectionRole, ...] = ("train", "train", "train", "test")
BRAIN = "B01"


@dataclass(frozen=True, slots=True)
class Start:
    """What `start_study` is told.

    Parameters
    ----------
    kind : {"hemispheres", "block", "surfaces", "new-brain"}
        Whole hemispheres; a block of tissue; a brain with surfaces of its own; one for a trained model.
    images : Path
        Folder of images, one per section, numbered.
    contours, annotations : Path or None
        Folders of contours and annotations, under the names of their images or with their numbers.
    labels : Path or None
        Table of the areas; without it, one is written of those that the annotations have.
    surfaces : Path or None
        Folder of the brain's own surfaces.
    spacing_mm : float
        Distance of sections whose numbers differ by one, towards anterior (coronal), right (sagittal) or superior
        (horizontal); negative towards the other end.
    um_per_px : float or None
        Pixel size of the images, where they do not say it themselves.
    cut : {"coronal", "sagittal", "horizontal"}
    species, stain, space : str
        As in a manifest.
    """

    kind: Kind
    images: Path
    spacing_mm: float
    contours: Path | None = None
    annotations: Path | None = None
    labels: Path | None = None
    surfaces: Path | None = None
    um_per_px: float | None = None
    cut: Cut = "coronal"
    species: str = TODO
    stain: str = TODO
    space: str = "native"


def start_study(folder: Path, start: Start) -> str:
    """Write study.yaml, a section table and, with annotations, a label table; return study.yaml's text.

    Raises
    ------
    StudyError
        If one of them is there already, or numbers, pixel sizes or files of sections cannot be found.
    """
    manifest, table, labels_file = folder / "study.yaml", folder / "sections.tsv", folder / "labels.tsv"
    _refuse(manifest)
    _refuse_options(start)
    images = files_by_stem(start.images, IMAGE_READERS)
    numbers = section_numbers(list(images), start.images)
    by_number = {numbers[stem]: path for stem, path in images.items()}
    contours, annotations = (_drawn(source, numbers) for source in (start.contours, start.annotations))
    sections, areas = _sections(by_number, contours, annotations, start)
    checked = _look(sections)
    if different := kinds(checked):
        warn(f"{start.images}: images of several kinds: {different}: export them alike; one study is of one kind")
    if absent := absent_numbers(by_number):
        hint = "if one is lost, add its row to sections.tsv, with image n/a and status missing"
        warn(f"{start.images}: no image of section {listed(absent)}, left out of an even row of numbers: {hint}")
    names = list(dict.fromkeys(_classes(sections)))
    labels = table_of(areas) if start.labels is None else read_labels(start.labels)
    if start.labels is not None:
        say_absent(areas, labels, start.labels)
    roots = [
        item for item in (start.images, start.contours, start.annotations) if item and not is_below(item, [folder])
    ]
    known = Known(
        name=folder.resolve().name,
        species=start.species,
        stain=start.stain,
        space=start.space,
        kind=start.kind,
        brain=BRAIN,
        hemispheres=[side for side in "LR" if {f"pial_{side}", f"white_{side}"} & set(names)],
        classes=_meanings(names, labels),
        has_contours=start.contours is not None,
        labels=relative_place(start.labels or labels_file, folder) if len(labels) else "",
        has_unnamed_areas=start.labels is None and any(one.labels for one in areas),
        channels=next((known_channels(it.header, ImageSettings()) for it in checked if needs_channel(it.header)), []),
        window=proposed_window(checked),
        data_roots=[relative_place(root, folder) for root in dict.fromkeys(roots)],
        surfaces=_surfaces(start.surfaces, folder),
        axes=axes_text(start.cut, start.spacing_mm),
    )
    texts = {labels_file: labels_text(labels)} if len(labels) and start.labels is None else {}
    texts |= {table: sections_text(folder, sections), manifest: study_text(known)}
    for path, text in texts.items():
        _refuse(path, text)
    clear_orphans(folder)
    for path, text in texts.items():  # the manifest comes last
        write_text(path, text)
    return texts[manifest]


def _refuse_options(start: Start) -> None:
    """Raise StudyError if sections would all lie in one place, pixels have no size, or there is no such table."""
    if not np.isfinite(start.spacing_mm) or start.spacing_mm == 0:
        hint = "the thickness of the sections, where numbers count all that were cut"
        raise StudyError("--spacing-mm", found=f"{start.spacing_mm:g}", expected="a distance in mm, not 0", hint=hint)
    if start.um_per_px is not None and not 0 < start.um_per_px < np.inf:
        raise StudyError("--um-per-px", found=f"{start.um_per_px:g}", expected="micrometres, above 0")
    if start.labels is not None and not start.labels.exists():
        hint = "correct --labels, or leave it out: a table of the annotations' areas is written then"
        raise StudyError(start.labels, found="no such label table", hint=hint)


def _refuse(path: Path, text: str = "") -> None:
    """Raise StudyError if a file is there, unless it is what is to be written: of a start that was killed."""
    if path.exists() and not (text and path.is_file() and path.read_bytes() == text.encode()):
        raise StudyError(path, found="a file that is there already", hint="choose another folder, or remove it")


def _drawn(source: Path | None, numbers: dict[str, int]) -> dict[int, Path]:
    """Return contours or annotations by the number of their section."""
    files = {} if source is None else of_sections(files_by_stem(source, CONTOUR_READERS), numbers, source)
    if others := sorted(files.keys() - set(numbers.values())):
        found = f"{files[others[0]].name} of section {others[0]}" + f", and {len(others) - 1} more" * (len(others) > 1)
        hint = "add its image, or take the file out of the folder and write its row of sections.tsv by hand, image n/a"
        raise StudyError(source or "", found=found, expected="sections that have an image", hint=hint)
    return files


def _sections(
    images: dict[int, Path], contours: dict[int, Path], annotations: dict[int, Path], start: Start
) -> tuple[list[Section], list[AnnotatedAreas]]:
    """Return the sections, and the areas of those that are annotated."""
    problems: list[CytomeshError] = []
    tried = {number: attempt(problems, partial(read_header, path)) for number, path in sorted(images.items())}
    raise_problems(problems)
    headers = {number: header for number, header in tried.items() if header is not None}
    silent = [header.path.name for header in headers.values() if not (start.um_per_px or header.um_per_px)]
    if silent:
        found = f"no pixel size in {silent[0]}" + (f" and {len(silent) - 1} more" if len(silent) > 1 else "")
        raise StudyError(start.images, found=found, hint="give --um-per-px, of the full resolution")
    sections: list[Section] = []
    annotated: list[AnnotatedAreas] = []
    first = min(headers)
    for number, header in headers.items():
        um = start.um_per_px or header.um_per_px or 0.0
        plane = _plane(header, um, start.spacing_mm * (number - first), start.cut)
        section = Section(BRAIN, number, header.path, um, plane, contours.get(number), annotations.get(number), "none")
        if needs_channel(header):  # which one is left to fill in
            section = replace(section, image_settings=ImageSettings(channels=0))
        if areas := attempt(problems, partial(read_areas, section)):
            # a label image that covers the section's image with other pixels
            ratio = header.shape[1] / (areas.width_px or header.shape[1])
            role = ROLES[len(annotated) % len(ROLES)]
            section = replace(section, role=role, annotation_um_per_px=None if ratio == 1 else um * ratio)
            annotated.append(areas)
        else:  # of files with rings and areas together, those without any area
            section = replace(section, annotation=None)
        sections.append(section)
    raise_problems(problems)
    return sections, annotated


def _plane(header: ImageHeader, um_per_px: float, position_mm: float, cut: Cut) -> SectionPlane:
    """Place an image by its centre on the axis of the series."""
    height, width = header.shape
    step = um_per_px / 1000
    column, row, along = np.array(AXES[cut], np.float64)
    origin = position_mm * along - step * ((width - 1) / 2 * column + (height - 1) / 2 * row)
    # 12 digits: not 15.950000000000001 in a table that people edit, nor -0.0
    return SectionPlane(np.column_stack([step * column, step * row, origin]).round(12) + 0.0)


def _look(sections: Iterable[Section]) -> list[CheckedImage]:
    problems: list[CytomeshError] = []
    found = [check_image(section, "quick", problems) for section in sections]
    raise_problems(problems)
    return [item for item in found if item is not None]


def _classes(sections: Iterable[Section]) -> Iterator[str]:
    """Return the classes that contour files have, each object's as it is written or as it is known."""
    problems: list[CytomeshError] = []
    for section in sections:
        reader = section.contours and by_suffix(CONTOUR_READERS, section.contours)
        if reader and not reader.is_labelled:
            # Names alone count: how large a unit is, which the image and the manifest say, is still to be filled in.
            section = replace(section, image=None, contour_settings=ContourSettings(microdraw_px_per_unit=1.0))
            for feature in attempt(problems, partial(read_features, section, frozenset(CLASSES))) or ():
                yield from _class(feature)
    raise_problems(problems)


def _class(feature: ContourFeature) -> Sequence[str]:
    """Return an object's class as it is known, else as it is written; of rings without the number of copies."""
    if known := [name for name in feature.names if name in (*CLASSES, TISSUE)]:
        return known[:1]
    if not feature.names:
        return ()
    own = without_number(feature.names[0])[-1]
    return [own] if own in feature.names and is_ring(own) else feature.names[:1]


def _meanings(names: Sequence[str], labels: LabelTable) -> dict[str, str]:
    """Return what the other classes of the contour files stand for: areas drawn in the same files, or not known."""
    has_rings = any(map(is_ring, names))
    others = [name for name in names if name not in (*CLASSES, TISSUE) and not name.endswith(OTHERS)]
    return {name: IGNORE if has_rings and name in labels.names else TODO for name in others}


def _surfaces(source: Path | None, folder: Path) -> dict[str, dict[str, str]]:
    """Return the pial and white surfaces of a folder by hemisphere, as FreeSurfer, HCP and BIDS name them."""
    found: dict[str, dict[str, str]] = {}
    if source is None:
        return found
    if not source.is_dir():
        raise StudyError(source, found="no such folder", hint="check the path")
    for path in sorted(source.iterdir()):
        side, kind = side_of(path.name, IN_FILE_NAMES), surface_of(path.name)
        if side and kind and kind != "sphere":
            found.setdefault(side, {}).setdefault(kind, relative_place(path, folder))
    if not found:
        hint = "name them as FreeSurfer (lh.pial, lh.white) or BIDS (hemi-L_pial.surf.gii) do"
        raise StudyError(source, found="no surface that names its side and kind", hint=hint)
    return found


def axes_text(cut: Cut, spacing_mm: float) -> str:
    """Return where the columns, the rows and the series of a cut point to, the series by the sign of its spacing."""
    words = {1: ("right", "anterior", "superior"), -1: ("left", "posterior", "inferior")}
    vectors: list[NDArray[np.int64]] = [np.array(axis) for axis in AXES[cut]]
    vectors[2] *= -1 if spacing_mm < 0 else 1
    column, row, along = (words[int(v[v.nonzero()[0][0]])][int(v.nonzero()[0][0])] for v in vectors)
    return f"columns to the {column}, rows to {row}, numbers to {along}"
