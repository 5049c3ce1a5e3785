"""What a run has for a hemisphere: surfaces, and labels of finished results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cytomesh.core.digests import file_digests
from cytomesh.core.errors import ConfigError, StaleError
from cytomesh.core.run import STAGES, finished_folders
from cytomesh.graph.freshness import RUN_AGAIN, Freshness
from cytomesh.graph.storage import CortexGraph, graph_folder
from cytomesh.surface.gifti import SurfaceKind

SURFACES: tuple[SurfaceKind, ...] = ("pial", "white", "midthickness")
REGISTERED = ("inflated", "sphere", "sphere.reg")
LABEL_STAGES = ("classify", "parcellate")


def surface_files(run: Path, graph: CortexGraph) -> dict[str, Path]:
    """Return the surfaces of a graph by their kind; inflated ones and spheres are those of the first registration.

    Without a registration, the sphere is the one that the graph was given, if any.
    """
    own = graph_folder(run, graph.name)
    files: dict[str, Path] = {kind: own / f"{kind}.surf.gii" for kind in (*SURFACES, "sphere")}
    for folder in _registration(run):
        made = {kind: folder / graph.name / f"{kind}.surf.gii" for kind in REGISTERED}
        files |= {kind: path for kind, path in made.items() if path.is_file()}
    return {kind: path for kind, path in files.items() if path.is_file()}


def refuse_products(run: Path, folder: Path) -> None:
    """Raise ConfigError if a folder to write to lies where a run has its results, and would be taken for one."""
    run, folder = run.resolve(), folder.resolve()
    if folder.is_relative_to(run) and folder != run and folder.relative_to(run).parts[0] in STAGES:
        hint = "choose a folder elsewhere, or another name within the run"
        raise ConfigError("--to", found=f"{folder}, where the run has its results", expected="another", hint=hint)


def refuse_stale(run: Path, graphs: Sequence[CortexGraph]) -> None:
    """Raise StaleError if a surface or a result is not what its inputs give now: an export could not say so."""
    products = [f"graphs/{graph.name}" for graph in graphs]
    products += [f"{folder.parent.name}/{folder.name}" for folder in (*_registration(run), *_labellings(run))]
    with file_digests(run) as digests:
        found = Freshness(run, digests).stale(products)
    if found:
        hint = f"{RUN_AGAIN}, or remove them"
        raise StaleError(run, found=found, expected="what their inputs give now", hint=hint)


def label_files(run: Path, graph: CortexGraph) -> dict[str, Path]:
    """Return the labels of a graph by the name of their result.

    `<stage>-<name>` where two stages have one of a name, some file systems and programs taking capital and small
    letters for the same, or where the name reads as if it were made so. `annotation` is what the graph was given with;
    it is not there if no node is annotated.
    """
    folders = _labellings(run)
    times = Counter(folder.name.casefold() for folder in folders)
    prefixes = tuple(f"{stage}-" for stage in LABEL_STAGES)
    files = {}
    if graph.annotation.any():
        files["annotation"] = graph_folder(run, graph.name) / "annotation.label.gii"
    for folder in folders:
        own = folder.name.casefold()
        is_taken = times[own] > 1 or own == "annotation" or own.startswith(prefixes)
        name = f"{folder.parent.name}-{folder.name}" if is_taken else folder.name
        files[name] = folder / f"{graph.name}.label.gii"
    return {name: path for name, path in files.items() if path.is_file()}


def _registration(run: Path) -> list[Path]:
    """Return the folder of the registration whose surfaces are exported, if there is one."""
    return finished_folders(run, "register")[:1]


def _labellings(run: Path) -> list[Path]:
    """Return the folders of results that label nodes."""
    return [folder for stage in LABEL_STAGES for folder in finished_folders(run, stage)]
