"""BIDS microscopy on disk: names of files, tables and sidecars, and a study manifest made from them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from cytomesh.core.config import validate
from cytomesh.core.errors import CytomeshError, StudyError, TransformError
from cytomesh.core.files import write_json, write_text
from cytomesh.study.bids_files import SUFFIXES, BidsFiles, read_object, sidecar_path
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.manifest import BrainRole, Hemisphere, Manifest, write_manifest
from cytomesh.study.planes import SectionPlane
from cytomesh.study.problems import attempt, raise_problems
from cytomesh.study.sections import ABSENT, Section, SectionRole, SectionStatus, write_sections
from cytomesh.study.tables import read_dicts, table_text

BIDS_VERSION = "1.11.1"
DERIVATIVES = Path("derivatives") / "cytomesh"


@dataclass(frozen=True, slots=True)
class Participant:
    """One row of participants.tsv: a brain."""

    id: str
    species: str
    role: BrainRole = "train"
    hemispheres: tuple[Hemisphere, ...] = ("L", "R")


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of samples.tsv: a section."""

    id: str
    brain: str
    section: int
    position_mm: float
    role: SectionRole = "none"
    status: SectionStatus = "ok"
    notes: str = ""


def image_path(folder: Path, brain: str, sample: str, suffix: str = ".ome.zarr") -> Path:
    """Return where BIDS keeps the bright-field image of a sample."""
    return folder / f"sub-{brain}" / "micr" / f"sub-{brain}_sample-{sample}_BF{suffix}"


def contours_path(folder: Path, brain: str, sample: str) -> Path:
    """Return where the derivatives keep a sample's contours (QuPath GeoJSON)."""
    return folder / DERIVATIVES / f"sub-{brain}" / "micr" / f"sub-{brain}_sample-{sample}_contours.geojson"


def annotation_path(folder: Path, brain: str, sample: str) -> Path:
    """Return where the derivatives keep a sample's area labels."""
    return folder / DERIVATIVES / f"sub-{brain}" / "micr" / f"sub-{brain}_sample-{sample}_dseg.png"


def areas_path(folder: Path, brain: str, sample: str) -> Path:
    """Return where the derivatives keep a sample's areas where they are drawn (QuPath GeoJSON)."""
    return folder / DERIVATIVES / f"sub-{brain}" / "micr" / f"sub-{brain}_sample-{sample}_areas.geojson"


def write_dataset_description(folder: Path, name: str, is_derivative: bool = False) -> None:
    """Write dataset_description.json, and .bidsignore of a derivative's sections."""
    facts: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative" if is_derivative else "raw",
    }
    if is_derivative:
        facts["GeneratedBy"] = [{"Name": "cytomesh"}]
    write_json(folder / "dataset_description.json", facts)
    if is_derivative:  # BIDS has no names for contours and drawn areas, and none for label images of sections
        own = ("contours.geojson", "areas.geojson", "dseg.png")
        write_text(folder / ".bidsignore", "".join(f"sub-*/micr/*_{name}\n" for name in own))


def write_bids_tables(folder: Path, participants: Sequence[Participant], samples: Sequence[Sample]) -> None:
    """Write participants.tsv and samples.tsv with their JSON descriptions, and .bidsignore for cytomesh's own files."""
    _write_tsv(
        folder / "participants.tsv",
        ("participant_id", "species", "role", "hemispheres"),
        [(f"sub-{p.id}", p.species, p.role, "".join(p.hemispheres)) for p in participants],
    )
    _write_tsv(
        folder / "samples.tsv",
        ("sample_id", "participant_id", "sample_type", "section", "position_mm", "role", "status", "notes"),
        [
            (
                f"sample-{s.id}",
                f"sub-{s.brain}",
                "tissue",
                s.section,
                float(s.position_mm),
                s.role,
                s.status,
                s.notes or ABSENT,
            )
            for s in samples
        ],
    )
    write_json(
        folder / "participants.json",
        {
            "role": {"Description": "use of the brain", "Levels": {r: r for r in ("train", "transfer", "unseen")}},
            "hemispheres": {"Description": "hemispheres to reconstruct"},
        },
    )
    write_json(
        folder / "samples.json",
        {
            "section": {"Description": "number of the section in its series"},
            "position_mm": {"Description": "position of the section plane along the stack", "Units": "mm"},
            "role": {"Description": "part of an evaluation: train, val, test or none"},
            "status": {"Description": "ok, missing or damaged"},
        },
    )
    # no slash at the end: today's validator would not find the folder
    write_text(folder / ".bidsignore", "study.yaml\nsub-*/sections.tsv\nsub-*/*_displacement.nii.gz\natlas\ntruth\n")


def write_sidecar(
    image: Path, um_per_px: float, stain: str, plane: SectionPlane | None = None, thickness_um: float | None = None
) -> None:
    """Write an image's JSON sidecar; `ToWorld` (3 x 3, mm, RAS) is cytomesh's addition to BIDS."""
    facts: dict[str, Any] = {
        "PixelSize": [float(um_per_px)] * 2,
        "PixelSizeUnits": "um",
        "BodyPart": "BRAIN",
        "SampleStaining": stain,
        "SliceThickness": thickness_um,
        "ToWorld": None if plane is None else plane.to_world,
    }
    write_json(sidecar_path(image), {key: value for key, value in facts.items() if value is not None})


def from_bids(folder: Path, space: str = "native") -> Path:
    """Describe a BIDS microscopy dataset as a study: write `study.yaml`, and `sub-*/sections.tsv` where there is none.

    Per section there is one bright-field image, whatever further entities (session, chunk, ...) its name has, and
    sidecars apply as BIDS says (inheritance principle). `to_world` is the sidecar's `ToWorld` if there is one; else the
    section is taken as coronal (column = right, row = inferior), centred, at `position_mm` of samples.tsv. Contours and
    annotations (label images, or areas drawn in QuPath) are found in derivatives/cytomesh; label table and
    probability maps at atlas/labels.tsv and atlas/pmaps.nii.gz.

    Returns
    -------
    Path of the manifest.

    Raises
    ------
    StudyError
        If the dataset has no images or several of one sample, a table, a pixel size or a position is missing, or
        study.yaml exists.
    ImageError
        If pixels are not square.
    """
    manifest_path = folder / "study.yaml"
    if manifest_path.exists():
        raise StudyError(
            manifest_path, found="a manifest already there", hint="edit it, or move it away to have it written anew"
        )
    participants = _read_tsv(folder / "participants.tsv", ("participant_id",))
    samples = _read_tsv(folder / "samples.tsv", ("sample_id", "participant_id"))
    files = BidsFiles(folder)
    problems: list[CytomeshError] = []
    brains: list[dict[str, Any]] = []
    for row in participants:
        brain = _label(row, "participant_id")
        table = folder / f"sub-{brain}" / "sections.tsv"
        if not table.exists():
            mine = [sample for sample in samples if sample["participant_id"] == row["participant_id"]]
            sections = _sections(files, brain, mine, problems)
            if not problems:
                write_sections(table, sections)
        facts = {
            "id": brain,
            "role": _given(row, "role", "train"),
            "hemispheres": list(_given(row, "hemispheres", "LR")),
        }
        brains.append(facts | {"sections": table.relative_to(folder).as_posix()})
    raise_problems(problems)
    description = folder / "dataset_description.json"
    species = sorted({_given(row, "species", "unknown") for row in participants})
    images = (
        attempt([], partial(files.image, _label(row, "participant_id"), _label(row, "sample_id"))) for row in samples
    )
    stains = {str(files.sidecar(image).get("SampleStaining", "unknown")) for image in images if image is not None}
    data: dict[str, Any] = {
        "name": read_object(description).get("Name", folder.resolve().name),
        "species": ", ".join(species),
        "stain": ", ".join(sorted(stains)) or "unknown",
        "space": {"name": space},
        "brains": brains,
    }
    if (folder / "atlas" / "labels.tsv").is_file():
        data["atlas"] = {"labels": "atlas/labels.tsv", "space": space}
        if (folder / "atlas" / "pmaps.nii.gz").is_file():
            data["atlas"]["probability_maps"] = "atlas/pmaps.nii.gz"
    write_manifest(manifest_path, validate(Manifest, data, str(folder / "participants.tsv"), StudyError))
    return manifest_path


def _sections(
    files: BidsFiles, brain: str, samples: Sequence[dict[str, str]], problems: list[CytomeshError]
) -> list[Section]:
    """Make a brain's sections from its samples and sidecars, in the order of their numbers."""
    if not samples:
        problems.append(
            StudyError(files.folder / "samples.tsv", found=f"no sample of sub-{brain}", expected="one row per section")
        )
    found = [attempt(problems, partial(_section, files, brain, sample, samples)) for sample in samples]
    return sorted((section for section in found if section is not None), key=lambda section: section.index)


def _section(files: BidsFiles, brain: str, row: dict[str, str], others: Sequence[dict[str, str]]) -> Section:
    folder = files.folder
    table, sample = folder / "samples.tsv", _label(row, "sample_id")
    place = f"sub-{brain}, sample-{sample}"
    image = files.image(brain, sample)
    status = _given(row, "status", "ok")
    if image is None and status != "missing":
        expected = image_path(folder, brain, sample, f"({'|'.join(SUFFIXES)})").relative_to(folder)
        hint = "add the image, or set the sample's status to missing"
        raise StudyError(table, place, found="no image", expected=str(expected), hint=hint)
    um_per_px = files.um_per_px(image) if image is not None else _any_pixel_size(files, brain, others)
    digits = _given(row, "section", "") or "".join(re.findall(r"\d+$", sample))
    if not digits.isdigit():
        hint = "add a column 'section', or end the sample's label in its number"
        raise StudyError(table, place, found="no section number", hint=hint)
    contours = contours_path(folder, brain, sample)
    drawn = areas_path(folder, brain, sample)
    annotations = (annotation_path(folder, brain, sample), drawn, drawn.with_name(f"{drawn.name}.gz"))
    return Section(
        brain=brain,
        index=int(digits),
        image=image,
        um_per_px=um_per_px,
        plane=_plane(files, place, row, image, um_per_px),
        contours=contours if contours.is_file() else None,
        annotation=next((path for path in annotations if path.is_file()), None),
        role=cast(SectionRole, _given(row, "role", "none")),
        status=cast(SectionStatus, status),
        notes=_given(row, "notes", ""),
    )


def _plane(files: BidsFiles, place: str, row: dict[str, str], image: Path | None, um_per_px: float) -> SectionPlane:
    """Take the plane from the image's sidecar; else a coronal one, centred, at the sample's position."""
    if image is not None and "ToWorld" in (sidecar := files.sidecar(image)):
        try:
            return SectionPlane(np.array(sidecar["ToWorld"], np.float64))
        except (TransformError, ValueError) as cause:
            raise StudyError(sidecar_path(image), "ToWorld", found=str(cause), expected="3 x 3 numbers, mm") from cause
    try:
        position = float(row.get("position_mm", ABSENT))
    except ValueError as cause:
        hint = (
            "add a column 'position_mm' to samples.tsv, or ToWorld to the image's sidecar: positions are never guessed"
        )
        raise StudyError(files.folder / "samples.tsv", place, found="no plane position", hint=hint) from cause
    height, width = (1, 1) if image is None else read_header(image).shape
    step = um_per_px / 1000
    origin = (-step * (width - 1) / 2, position, step * (height - 1) / 2)
    return SectionPlane(np.array([[step, 0, 0], [0, 0, -step], origin]).T)


def _any_pixel_size(files: BidsFiles, brain: str, samples: Sequence[dict[str, str]]) -> float:
    """Return the pixel size of the brain's first image, for a section that has none."""
    for row in samples:
        image = files.image(brain, _label(row, "sample_id"))
        if image is not None:
            return files.um_per_px(image)
    raise StudyError(
        files.folder / "samples.tsv", f"sub-{brain}", found="no image of this brain", expected="at least one"
    )


def _label(row: dict[str, str], column: str) -> str:
    """Return the label of an entity: "B01" of "sub-B01"."""
    return row[column].removeprefix("sub-").removeprefix("sample-")


def _given(row: dict[str, str], column: str, otherwise: str) -> str:
    value = row.get(column, ABSENT)
    return otherwise if value in (ABSENT, "") else value


def _read_tsv(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    try:
        rows = read_dicts(path, ABSENT)
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise StudyError(path, found=f"a table that cannot be read ({cause})", expected="a BIDS table (TSV)") from cause
    missing = [name for name in required if not rows or name not in rows[0]]
    if missing:
        raise StudyError(path, "line 1", found=f"no column {', '.join(missing)}", hint="BIDS requires it")
    return rows


def _write_tsv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    write_text(path, table_text([columns, *(map(str, row) for row in rows)]))
