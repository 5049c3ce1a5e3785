"""Trained classifiers as they are stored: their record, settings, labels and registration."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from cytomesh.classify.config import ClassifyConfig, PredictConfig
from cytomesh.core.config import validate, validate_stored
from cytomesh.core.errors import CheckpointError, MissingStageError, did_you_mean
from cytomesh.core.files import read_json
from cytomesh.core.formats import check_format
from cytomesh.core.labels import MAX_LABEL, LabelTable, distinct_colours
from cytomesh.core.provenance import RECORD, damage, read_record
from cytomesh.core.reading import reading, way_back
from cytomesh.register.run import registration_read, template_of

FileName = Annotated[str, Field(pattern=r"^[\w-]+\.safetensors$", max_length=100)]
USED = ("inputs", "model", "prior", "crf", "label_shift", "calibration", "seed")
"""Sections of the settings that a trained classifier is used with; others say how it was trained and scored."""


def read_model(folder: Path) -> dict[str, Any]:
    """Read `model.json` of a trained classifier, of any format that is known."""
    path = folder / "model.json"
    if not path.is_file():
        known = [item.parent.name for item in folder.parent.glob("[!.]*/model.json")]
        hint = did_you_mean(folder.name, known, "give the folder RUN/classify/NAME that 'cytomesh classify' wrote")
        raise MissingStageError(path, found="no trained classifier", hint=hint)
    record = read_json(path, CheckpointError)
    with reading(path, CheckpointError, found="no record of a classifier"):
        check_format(path, "classifier", record.get("format"))
        record = validate(_Record, record, str(path), CheckpointError).model_dump()
    _refuse_damage(folder, record)
    return dict(record)


class _Class(BaseModel):
    model_config = ConfigDict(extra="allow")
    label: Annotated[int, Field(gt=0, le=MAX_LABEL)]
    area: str
    colour: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=4, max_length=4)] | None = None
    """RGBA."""


class _Input(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    width: Annotated[int, Field(gt=0, lt=2**31)]
    maps: list[str] = []


class _Record(BaseModel):
    """What `model.json` has to hold (see `run.model_record`)."""

    model_config = ConfigDict(extra="allow")
    settings: dict[str, Any]
    inputs: list[_Input]
    classes: Annotated[list[_Class], Field(min_length=1)]
    distance_quantiles: list[FiniteFloat]
    weights: Annotated[list[FileName], Field(min_length=1)]
    scaling: FileName | None


def _refuse_damage(folder: Path, record: Mapping[str, Any]) -> None:
    """Raise CheckpointError if a file of a classifier is not as it was written, where that is recorded beside it."""
    written = read_record(folder / RECORD)
    files = {"model.json", *record["weights"], record["scaling"]}
    changed = [line for line in damage(folder, written) if line.split()[0] in files] if written else []
    if changed:
        found = f"files that are not as they were written: {', '.join(changed)}"
        raise CheckpointError(folder / changed[0].split()[0], found=found, hint=way_back(folder / "model.json"))


def trained_settings(folder: Path, record: Mapping[str, Any]) -> ClassifyConfig:
    """Return the settings that rebuild a classifier and its inputs; those of training and scores are not looked at."""
    stored = {ClassifyConfig.renamed.get(name, name): value for name, value in record["settings"].items()}
    used = {name: stored[name] for name in USED if name in stored}
    # in how many parts nodes go through a network, which may not fit into memory together
    used["training"] = {"part_nodes": stored.get("training", {}).get("part_nodes")}
    missing = [name for name in ("inputs", "model") if name not in used]
    source = str(folder / "model.json")
    if missing:
        raise CheckpointError(source, "settings", found=f"no {' and '.join(missing)}", hint="train again")
    return validate_stored(ClassifyConfig, used, source, CheckpointError)


def registration_for(
    run: Path, model: Path, record: Mapping[str, Any], trained: ClassifyConfig, settings: PredictConfig
) -> str | None:
    """Return the registration of a run by which a classifier's prior is carried to it; None without a prior.

    Raises
    ------
    MissingStageError
        If the run has no such registration.
    CheckpointError
        If that is on another template.
    """
    own = trained.prior.registration
    if own is None or not trained.has_prior:
        return None
    name = settings.registration or own
    registration_read(run, name, [])
    found, wanted = template_of(run, name), record.get("template")
    is_here = model.resolve().is_relative_to((run / "classify").resolve())
    if found != wanted or (found == "study" and not (is_here and name == own)):
        found = f"register/{name}, on the template {'of this study' if found == 'study' else found}"
        expected = "fsaverage" if wanted == "fsaverage" else f"register/{own} of its own run"
        hint = "register training brains and these to fsaverage, and train again"
        raise CheckpointError(model, "prior", found=found, expected=expected, hint=hint)
    return name


def with_areas(table: LabelTable, record: Mapping[str, Any]) -> LabelTable:
    """Return a label table with the areas that a model knows: areas of one name are one area.

    The table's own numbers and colours stay; further areas have those of the model, or the first free number.
    """
    model = model_labels(record)
    further = [row for row in model.rows() if row[1] not in table.names]
    taken = {*table.indices, *model.indices}
    free = (label for label in count(1) if label not in taken)
    labels = [next(free) if label in table.indices else label for label, *_ in further]
    names, colours = [name for _, name, _ in further], [rgba for *_, rgba in further]
    return LabelTable((*table.indices, *labels), (*table.names, *names), np.array([*table.colours, *colours]))


def model_labels(record: Mapping[str, Any]) -> LabelTable:
    """Return the label table of the areas that a model knows; models of earlier versions have no colours."""
    classes = record["classes"]
    labels, names = ([entry[key] for entry in classes] for key in ("label", "area"))
    colours = distinct_colours(len(classes))
    for row, entry in zip(colours, classes, strict=True):
        row[:] = entry["colour"] or row
    return LabelTable(tuple(labels), tuple(names), colours)
