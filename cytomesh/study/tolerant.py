"""The right parts of a manifest that is wrong in others, so that all of its problems are found at once."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cytomesh.core.config import describe, read_yaml
from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.study.manifest import Manifest
from cytomesh.study.problems import attempt
from cytomesh.study.start_text import TODO


def tolerant_manifest(path: Path, problems: list[CytomeshError]) -> Manifest | None:
    """Validate the manifest; if it is wrong, report that and go on with the parts that are right."""
    data = attempt(problems, lambda: read_yaml(path, StudyError))
    if data is None:
        return None
    left: list[str] = []
    try:
        return Manifest.model_validate(data)
    except ValidationError as cause:
        for text, item in zip(describe(Manifest, cause), cause.errors(), strict=True):
            if item["input"] == TODO:  # once, not for each type that it might have had
                left.append(".".join(str(part) for part in item["loc"] if not str(part).startswith("literal[")))
                continue
            field = ".".join(str(part) for part in item["loc"])
            found = text.removeprefix(f"{field}: ")
            problems.append(StudyError(path, field, found=found, hint="correct the manifest"))
        problems += [to_fill_in(path, field) for field in dict.fromkeys(left)]
        try:
            return Manifest.model_validate(_without(data, [(item["loc"], item["type"]) for item in cause.errors()]))
        except ValidationError:
            return None


def to_fill_in(path: Path, field: str) -> StudyError:
    """Complain about what `cytomesh init` left open."""
    return StudyError(
        path, field, found=f"{TODO}, left by cytomesh init", hint=f"replace {TODO} by what is true of your study"
    )


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
