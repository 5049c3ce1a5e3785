"""`{settings} STAGE`: every setting of a command from its model, as `cytomesh settings` finds them.

A model is named by its stage, or as `package.module:Class` where no command takes it as its settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import takewhile
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from cytomesh.cli.settings import PLACES, Stage
from cytomesh.core.config import Config, models_of, presets
from cytomesh.core.settings_text import choices, default_of, flow, is_empty


def model_of(name: str) -> type[BaseModel]:
    """Return the model of a stage, or that at `package.module:Class`."""
    module, _, kind = (name if ":" in name else PLACES[Stage(name)]).partition(":")
    return getattr(import_module(module), kind)


def text_nodes(text: str) -> list[nodes.Node]:
    """Return a docstring's words, with what stands in backticks as code."""
    parts = re.split(r"`+([^`]+)`+", " ".join(text.split()))
    return [nodes.literal("", part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]


def entry(term: list[nodes.Node], *meaning: nodes.Node, anchor: str = "") -> nodes.definition_list_item:
    """Return one entry of a definition list."""
    head = nodes.term("", "", *term, ids=[anchor] if anchor else [])
    return nodes.definition_list_item("", head, nodes.definition("", nodes.paragraph("", "", *meaning)))


class Settings(SphinxDirective):
    """All settings of a stage: a list of names, defaults and meanings for each model."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return presets, then one list a model, the outer ones first."""
        stage = self.arguments[0]
        self.anchor = re.sub(r"\W+", "-", stage.rpartition(":")[2])
        self.seen: dict[type[BaseModel], str] = {}
        kind = model_of(stage)
        return [*_presets(kind), *self._model(kind, "", [])]

    def _model(self, kind: type[BaseModel], path: str, title: list[nodes.Node]) -> Iterator[nodes.Node]:
        self.seen[kind] = path
        entries, inner = [], []
        for name, field in kind.model_fields.items():
            if is_empty(field):
                continue
            dotted = f"{path}.{name}".lstrip(".")
            entries.append(self._setting(dotted, field))
            inner += [(dotted, field, model) for model in models_of(field) if model not in self.seen]
        if title:
            yield nodes.rubric("", "", *title)
        yield nodes.definition_list("", *entries, classes=["settings"])
        for dotted, field, model in inner:
            if model not in self.seen and model.model_fields:
                yield from self._model(model, _inside(dotted, field), _title(dotted, field, model))

    def _setting(self, dotted: str, field: FieldInfo) -> nodes.Node:
        models = models_of(field)
        value = default_of(field)
        if isinstance(value, BaseModel):
            shown = [nodes.Text(" see below")] if len(models) == 1 else [nodes.Text(f" {_kind_of(value)}".rstrip())]
        elif value is PydanticUndefined:
            shown = [nodes.Text(" to be given")]
        else:
            shown = [nodes.Text(" = "), nodes.literal("", flow(value))]
        about = text_nodes(f"{field.description or ''}{choices(field)}")
        known = sorted({self.seen[model] for model in models if model in self.seen} - {dotted})
        if known and not isinstance(value, BaseModel):
            about += [nodes.Text(" Settings as of "), nodes.literal("", known[0]), nodes.Text(".")]
        return entry(
            [nodes.strong("", "", nodes.literal("", dotted)), *shown], *about, anchor=f"{self.anchor}-{dotted}"
        )


def _presets(kind: type[BaseModel]) -> list[nodes.Node]:
    """Return the shipped settings files with the first line of each."""
    if not (issubclass(kind, Config) and kind.presets):
        return []
    rows = []
    for name, path in presets(kind.presets).items():
        comment = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        about = text_nodes(" ".join(line[1:] for line in comment))
        rows.append(entry([nodes.literal("", f"--config {name}")], *about))
    return [nodes.rubric("", "Presets"), nodes.definition_list("", *rows, classes=["settings"])]


def _inside(dotted: str, field: FieldInfo) -> str:
    """Return how settings of an inner model are addressed: of a list's items they have no path of their own."""
    return f"{dotted}[]" if isinstance(default_of(field), list | tuple) else dotted


def _title(dotted: str, field: FieldInfo, model: type[BaseModel]) -> list[nodes.Node]:
    """Return the heading of an inner model: its place, which of several it is, and what it is."""
    first = (model.__doc__ or "").partition("\n")[0]
    several = len(models_of(field)) > 1
    about = first if several or not field.description else field.description
    kind = model.model_fields.get("kind")
    chosen = [nodes.Text(" "), nodes.literal("", f"kind: {choices_of(kind)}")] if several and kind else []
    return [nodes.literal("", _inside(dotted, field)), *chosen, nodes.Text(": "), *text_nodes(about)]


def choices_of(field: FieldInfo) -> str:
    """Return the words that tell this kind of settings from its alternatives."""
    words = choices(field).removeprefix(" One of: ").rstrip(".")
    return words or str(default_of(field))


def _kind_of(value: BaseModel) -> str:
    kind = getattr(value, "kind", None)
    return f"= {kind}" if kind else ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
