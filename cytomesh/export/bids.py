"""The areas and parcels of a run as a BIDS derivative (BIDS 1.11, with the names that BEP038 brought for atlases)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cytomesh.core.errors import StudyError
from cytomesh.core.files import read_object, write_json, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import is_imported
from cytomesh.core.run import read_study_path
from cytomesh.export.exporting import exporting, was_exported
from cytomesh.export.results import SURFACES, label_files, refuse_products, refuse_stale, surface_files
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.page.colours import css_colour
from cytomesh.study.bids import write_dataset_description
from cytomesh.study.manifest import read_manifest
from cytomesh.study.tables import table_text
from cytomesh.surface.any_surface import read_any_surface
from cytomesh.surface.gifti import read_labels, write_labels, write_surface

DESCRIPTION = "dataset_description.json"
ATLAS = "areas"
"""Label of the atlas that areas are of: that of the study, or of labels that were imported."""


def export_bids(run: Path, folder: Path) -> dict[str, list[str]]:
    """Write all hemispheres of a run to a BIDS derivative.

    `sub-<brain>/anat/sub-<brain>_hemi-<L|R>[_atlas-areas]_seg-<result>_dseg.label.gii`, its label table beside it
    (.tsv), and the surfaces that they lie on, for which BIDS has no names (`.bidsignore`). Areas are of the atlas that
    `atlas-areas_description.json` describes, parcels of none.

    Parameters
    ----------
    run : Path
        Run directory with graphs.
    folder : Path
        Of the derivative: a new one, or one of an earlier export, whose files are replaced, and removed where the run
        has them no more.

    Returns
    -------
    dict of str to list of str
        Files of each brain, relative to `folder`.

    Raises
    ------
    ConfigError
        If the folder lies among the run's results.
    StudyError
        If the folder is another dataset, or two results or brains would have one label.
    StaleError
        If a result is stale.
    StorageError
        If files would be replaced that this run did not export, or that were changed since.
    """
    refuse_products(run, folder)
    _refuse_others(folder)
    graphs = load_graphs(run)
    refuse_stale(run, graphs)
    _refuse_same([graph.brain for graph in graphs], "brain")
    for graph in graphs:
        _refuse_same(list(label_files(run, graph)), "result")
    name = run.resolve().name if is_imported(run) else read_manifest(read_study_path(run)).name
    atlas = {
        "AtlasName": f"Areas of {name}",
        "Description": "Areas of the label table that the study, or the imported labels, came with.",
        "License": "unknown",
    }
    written: dict[str, list[str]] = {}
    with exporting(run, folder) as stage:
        write_json(stage / f"atlas-{ATLAS}_description.json", atlas)
        write_dataset_description(stage, f"{name}: cortical areas and parcels", is_derivative=True)
        write_text(stage / ".bidsignore", "sub-*/anat/*.surf.gii\n")
        for graph in graphs:
            files = _export_graph(run, graph, stage / f"sub-{label(graph.brain)}" / "anat")
            written.setdefault(graph.brain, []).extend(sorted(path.relative_to(stage).as_posix() for path in files))
    return written


def label(name: str) -> str:
    """Return a name as BIDS has labels, letters and digits only: "gat-plus" becomes "gatPlus"."""
    first, *others = re.findall(r"[A-Za-z0-9]+", name) or ["x"]
    return first + "".join(word[0].upper() + word[1:] for word in others)


def _export_graph(run: Path, graph: CortexGraph, folder: Path) -> list[Path]:
    stem = f"sub-{label(graph.brain)}_hemi-{graph.hemisphere}"
    written = []
    surfaces = surface_files(run, graph)
    for kind in SURFACES:
        if kind in surfaces:
            written.append(folder / f"{stem}_{kind}.surf.gii")
            write_surface(written[-1], read_any_surface(surfaces[kind]), graph.hemisphere, kind)
    for name, path in label_files(run, graph).items():
        labels, table = read_labels(path, graph.hemisphere)
        atlas = "" if path.parent.parent.name == "parcellate" else f"_atlas-{ATLAS}"
        target = folder / f"{stem}{atlas}_seg-{label(name)}_dseg.label.gii"
        write_labels(target, labels, table, graph.hemisphere, name)
        lookup = target.with_name(target.name.replace(".label.gii", ".tsv"))
        write_text(lookup, _lookup(table))
        facts: dict[str, Any] = {"Manual": name == "annotation", "SpatialReference": f"{stem}_midthickness.surf.gii"}
        write_json(lookup.with_suffix(".json"), facts)
        written += [target, lookup, lookup.with_suffix(".json")]
    return written


def _lookup(table: LabelTable) -> str:
    """Return a table of labels as BIDS has them: index, name and colour."""
    rows = [(str(index), name, css_colour(colour)) for index, name, colour in table.rows()]
    return table_text([("index", "name", "color"), *rows])


def _refuse_others(folder: Path) -> None:
    """Raise StudyError if there is a dataset of somebody else's, or cytomesh's own sections."""
    if was_exported(folder) or (folder / f"atlas-{ATLAS}_description.json").is_file():
        return
    path = folder / DESCRIPTION
    if not path.is_file():
        if any(folder.glob("[!.]*")):
            hint = "choose another --to, such as derivatives/NAME below the dataset"
            raise StudyError(folder, found="a folder that is no BIDS dataset", expected="a new folder", hint=hint)
        return
    hint = "choose another --to, such as derivatives/NAME below the dataset"
    found = f"another dataset, '{read_object(path).get('Name', '')}'"
    raise StudyError(path, found=found, expected="none, or one of an earlier export", hint=hint)


def _refuse_same(names: list[str], kind: str) -> None:
    """Raise StudyError if different names have one label."""
    known: dict[str, str] = {}
    for name in names:
        own = label(name).casefold()  # BIDS takes files that differ in capital letters only for one
        if known.setdefault(own, name) != name:
            found = f"{kind}s '{known[own]}' and '{name}', both {label(name)} in BIDS"
            raise StudyError(kind, found=found, expected="names that differ in letters or digits", hint="rename one")
