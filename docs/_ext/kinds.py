"""`{kinds}`: what can be added, what cytomesh brings of it, and the entry points, from the registries themselves."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from cytomesh.core.registry import Registry
from docs._ext.settings import entry

REGISTRIES = {
    "objective of pretraining": "pretrain.objectives.kinds:OBJECTIVES",
    "classifier": "classify.kinds:CLASSIFIERS",
    "graph layer, which makes a classifier": "classify.kinds:LAYERS",
    "loss of networks": "classify.kinds:LOSSES",
    "method of parcellation": "parcellate.method:METHODS",
    "task of evaluate": "analyze.evaluate.kinds:TASKS",
    "contour format": "study.contour_formats.registry:CONTOUR_READERS",
    "image format": "study.image_formats.registry:IMAGE_READERS",
    "format of cells": "analyze.cells.formats.registry:CELL_READERS",
    "format of values of vertices": "surface.map_readers:MAP_READERS",
}


def registries() -> dict[str, Registry[Any]]:
    """Return every registry by what it holds."""
    found = {}
    for what, place in REGISTRIES.items():
        module, _, name = place.partition(":")
        found[what] = getattr(import_module(f"cytomesh.{module}"), name)
    return found


class Kinds(SphinxDirective):
    """One entry a registry."""

    def run(self) -> list[nodes.Node]:
        """Return base class, entry point group, and the names that cytomesh brings."""
        return [nodes.definition_list("", *(_entry(*found) for found in registries().items()), classes=["settings"])]


def _entry(what: str, registry: Registry[Any]) -> nodes.definition_list_item:
    base = f"{registry.base.__module__}.{registry.base.__name__}"
    names = ", ".join(sorted(registry.own))
    about = [
        nodes.Text("derive from "),
        nodes.literal("", base),
        nodes.Text("; entry points "),
        nodes.literal("", registry.group),
        nodes.Text(f"; there are {names}."),
    ]
    return entry([nodes.strong("", what)], *about)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("kinds", Kinds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
