"""The text of a new study: the template that ships with the package, filled with what is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cytomesh.core.shipped import shipped
from cytomesh.study.pixels import window_text

Kind = Literal["hemispheres", "block", "surfaces", "new-brain"]
TODO = "TODO"
FIRST = (
    "# A study, to copy and fill in: this file, and the tables under template/. Paths are relative to the file they "
    "stand in.\n# `cytomesh study check STUDY.yaml` names everything that is wrong or missing, at once.\n"
)
HEADER = "# A study of sections, written by `cytomesh init`. Paths are relative to the file they stand in."

NEXT = {
    "hemispheres": """cytomesh build-graph study.yaml --out RUN
cytomesh pretrain --out RUN
cytomesh embed --out RUN
cytomesh classify --out RUN        # with annotations; cytomesh parcellate --out RUN without
cytomesh report --out RUN""",
    "block": """cytomesh build-graph study.yaml --out RUN --config block
cytomesh pretrain --out RUN
cytomesh embed --out RUN
cytomesh parcellate --out RUN      # and, with annotations, cytomesh classify --out RUN
cytomesh report --out RUN""",
    "new-brain": """cytomesh build-graph study.yaml --out RUN
cytomesh embed --out RUN --encoder TRAINED/encoders/NAME
cytomesh classify-predict --out RUN --model TRAINED/classify/NAME
cytomesh report --out RUN""",
}
NEXT["surfaces"] = NEXT["hemispheres"]
MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a new study; see `cytomesh.study.start`."""

    name: str
    species: str
    stain: str
    space: str
    kind: Kind
    brain: str
    hemispheres: Sequence[str]  # that classes of contours name
    classes: Mapping[str, str]
    has_contours: bool
    labels: str
    has_unnamed_areas: bool
    channels: Sequence[str]  # of which one is to be named
    window: tuple[float, float] | None
    data_roots: Sequence[str]
    surfaces: dict[str, dict[str, str]]
    axes: str


def study_text(known: Known) -> str:
    """Return study.yaml: the template with what is known in its lines; what is left to fill in has TODO in its line."""
    text = (shipped("data_manifests") / "template.yaml").read_text(encoding="utf-8")
    for old, new in _lines(known):
        if text.count(old) != 1:
            raise ValueError(f"template.yaml has {old!r} {text.count(old)} times")
        text = text.replace(old, new)
    left = [line for line in text.splitlines() if TODO in line]
    first = f"Lines to fill in, marked {TODO}: {len(left)}. Then:" if left else "Nothing is left to fill in. Next:"
    commands = "\n".join(f"#   {line}" for line in ("cytomesh study check study.yaml", *NEXT[known.kind].splitlines()))
    return f"{HEADER}\n# {first}\n{commands}\n{text}"


def _lines(known: Known) -> Iterator[tuple[str, str]]:
    """Yield what stands in the template, and what takes its place."""
    yield FIRST, ""
    yield "name: my-study", f"name: {_plain(known.name)}"
    yield "species: Homo sapiens", f"species: {_plain(known.species)}"
    yield "stain: Merker (cell bodies)", f"stain: {_plain(known.stain)}"
    yield "  name: MNI152NLin2009cAsym", f"  name: {_plain(known.space)}"
    atlas = "atlas:\n  labels: template/labels.tsv\n  space: MNI152NLin2009cAsym\n"
    names = f"  # {TODO} the names of the areas, in labels.tsv" if known.has_unnamed_areas else ""
    own = f"atlas:\n  labels: {known.labels}{names}\n  space: {_plain(known.space)}\n"
    yield atlas, own if known.labels else "".join(f"# {line}\n" for line in atlas.splitlines())
    classes = "  classes: {Cortex left: pial_L, White matter left: white_L, Tissue: ignore}"
    if known.classes:
        named = ", ".join(
            f"{json.dumps(name, ensure_ascii=False)}: {meaning}" for name, meaning in known.classes.items()
        )
        yield classes, f"  classes: {{{named}}}"
    else:
        yield classes, f"  # {classes.strip()}"
    if known.channels:
        one = f"# {TODO} one of {', '.join(known.channels)}; `study check` then proposes a window"
        yield "# image:\n", f"image: {{channels: {TODO}}}  {one}\n# image:\n"
    elif known.window:
        yield "# image:\n", f"{window_text(known.window)}\n# image:\n"
    if known.data_roots:
        yield "# data_roots: [../raw, /data/slides]", f"data_roots: {json.dumps(known.data_roots, ensure_ascii=False)}"
    yield "  - id: B01", f"  - id: {known.brain}"
    yield "    role: train", f"    role: {'unseen' if known.kind == 'new-brain' else 'train'}"
    sides = known.hemispheres or ("L", "R")
    is_guess = not known.hemispheres and known.has_contours
    note = f"  # {TODO} those that contours.classes (of masks: contours.labels) name" if is_guess else ""
    yield "    hemispheres: [L, R]", f"    hemispheres: [{', '.join(sides)}]{note}"
    place = f"    # Places are a guess: images centred on one line, {known.axes}.\n"
    if known.kind == "surfaces":
        place += f"    # {TODO} put in the table where sections lie in the world of the surfaces.\n"
    elif not known.has_contours:
        place += f"    # {TODO} contours of each section, in the table: drawn in QuPath, or see `cytomesh contours`.\n"
    yield "    sections: template/sections.tsv", f"{place}    sections: sections.tsv"
    surfaces = "    # surfaces:\n"
    if known.kind == "surfaces":
        yield surfaces, "    surfaces:\n" + "".join(map(_own_surfaces(known), sides)) + surfaces
    elif known.surfaces:
        yield surfaces, "    surfaces:\n" + "".join(map(_own_surfaces(known), known.surfaces)) + surfaces


def _own_surfaces(known: Known) -> Callable[[str], str]:
    def line(side: str) -> str:
        files = dict.fromkeys(("pial", "white"), TODO) | known.surfaces.get(side, {})
        return f"      {side}: {json.dumps(files, ensure_ascii=False)}\n"

    return line


def listed(items: Iterable[object]) -> str:
    """Return the first items as text, and how many more there are."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:MOST_LISTED]) + f" and {len(texts) - MOST_LISTED} more" * (len(texts) > MOST_LISTED)


def _plain(text: str) -> str:
    """Return text as YAML, in quotes only where it needs them."""
    return text if re.fullmatch(r"[A-Za-z][\w ()/.-]*", text) else json.dumps(text, ensure_ascii=False)
