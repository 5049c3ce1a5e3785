"""The hemispheres of a run as FreeSurfer's subjects: `<brain>/surf/lh.pial`, `<brain>/label/lh.<name>.annot`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cytomesh.core.config import load_config
from cytomesh.core.errors import StorageError
from cytomesh.core.files import write_text
from cytomesh.core.run import finished_folders
from cytomesh.export.exporting import exporting
from cytomesh.export.results import SURFACES, label_files, refuse_products, refuse_stale, surface_files
from cytomesh.graph.storage import CortexGraph, load_graphs, write_morphometries
from cytomesh.register.config import RegisterConfig
from cytomesh.surface.annot import write_annot
from cytomesh.surface.any_surface import read_any_surface
from cytomesh.surface.formats import FREESURFER_SIDE, STAMP, write_freesurfer
from cytomesh.surface.gifti import read_labels

MADE_ROUND = ("sphere", "sphere.reg", "inflated")


def export_freesurfer(run: Path, subjects: Path) -> dict[str, list[str]]:
    """Write surfaces, measures and labels of all graphs of a run in the layout of FreeSurfer's SUBJECTS_DIR.

    Coordinates are the same numbers as in the run: the volume that the surfaces name is centred on the origin (c_ras
    0), so that FreeSurfer's surface RAS is scanner RAS. `sphere.reg` is written if the registration's template is
    fsaverage, which is what FreeSurfer means by it.

    Parameters
    ----------
    run : Path
        Run directory with graphs.
    subjects : Path
        Folder of subjects; those of the run's brains are added to, their files of the same names replaced, and those
        removed that an earlier export of the run wrote and the run has no more.

    Returns
    -------
    dict of str to list of str
        Files of each brain, relative to `subjects`.

    Raises
    ------
    ConfigError
        If subjects would lie among the run's results.
    StaleError
        If a result is stale.
    StorageError
        If files would be replaced that this run did not export, or that were changed since.
    """
    graphs = load_graphs(run)
    refuse_stale(run, graphs)
    for graph in graphs:
        refuse_products(run, subjects / graph.brain)
        _refuse_others(subjects / graph.brain)
    written: dict[str, list[str]] = {}
    with exporting(run, subjects) as stage:
        for graph in graphs:
            subject = stage / graph.brain
            files = _export_surfaces(run, graph, subject) + _export_labels(run, graph, subject)
            written.setdefault(graph.brain, []).extend(sorted(path.relative_to(stage).as_posix() for path in files))
    return written


def _export_surfaces(run: Path, graph: CortexGraph, subject: Path) -> list[Path]:
    side, folder = FREESURFER_SIDE[graph.hemisphere], subject / "surf"
    written = []
    for kind, path in surface_files(run, graph).items():
        if kind == "sphere.reg" and not _is_on_fsaverage(run):
            continue
        mesh = read_any_surface(path, is_sphere=kind in MADE_ROUND, hemisphere=graph.hemisphere)
        written.append(folder / f"{side}.{kind}")
        write_freesurfer(written[-1], mesh)
    return written + write_morphometries(folder, graph.hemisphere, graph.nodes.columns, graph.mesh.n_faces)


def _export_labels(run: Path, graph: CortexGraph, subject: Path) -> list[Path]:
    side, folder = FREESURFER_SIDE[graph.hemisphere], subject / "label"
    written = [folder / f"{side}.cortex.label"]
    cortex = np.flatnonzero(graph.is_cortex)
    rows = (f"{i} {x:.6f} {y:.6f} {z:.6f} 0" for i, (x, y, z) in zip(cortex, graph.positions[cortex], strict=True))
    head = f"#!ascii label, from subject {graph.brain} vox2ras=TkReg"
    write_text(written[0], "\n".join([head, str(len(cortex)), *rows]) + "\n")
    for name, path in label_files(run, graph).items():
        labels, table = read_labels(path, graph.hemisphere)
        written.append(folder / f"{side}.{name}.annot")
        write_annot(written[-1], labels, table)
    return written


def _refuse_others(subject: Path) -> None:
    """Raise StorageError if there are surfaces that cytomesh has not written: of recon-all, hours of work."""
    for path in sorted(subject.glob("surf/[lr]h.*")):
        if path.name[3:] not in (*SURFACES, *MADE_ROUND):
            continue
        with path.open("rb") as file:
            if STAMP.encode() not in file.read(100):
                hint = "choose another --to, a folder of subjects of its own"
                raise StorageError(path, found="a subject of somebody else's", expected="none", hint=hint)


def _is_on_fsaverage(run: Path) -> bool:
    config = finished_folders(run, "register")[0] / "config.yaml"
    return load_config(RegisterConfig, config, []).template == "fsaverage"
