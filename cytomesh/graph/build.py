"""build-graph: section contours (or given surfaces) of every hemisphere to image links and one attributed graph."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.config import write_config
from cytomesh.core.digests import file_digests
from cytomesh.core.files import read_json, write_text
from cytomesh.core.parallel import available_cpus, map_ordered
from cytomesh.core.phases import phase
from cytomesh.core.progress import log, track, warn
from cytomesh.core.provenance import Inputs
from cytomesh.core.run import Product, lock, product, product_folders, write_study_path
from cytomesh.core.tables import Table
from cytomesh.graph.annotate import sample_probabilities, section_roles, transfer_annotation
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.cortex import Cortex, rebuilt_cortex
from cytomesh.graph.inputs import count_reachable, link_sections, median_spacing, read_inputs
from cytomesh.graph.limits import check_verdicts, judge
from cytomesh.graph.links import ImageLinks, link_positions
from cytomesh.graph.objections import said, stack_objections
from cytomesh.graph.own_surfaces import own_cortex
from cytomesh.graph.provenance import graph_inputs
from cytomesh.graph.qc import (
    check_cortex,
    check_links,
    check_pieces,
    check_surfaces,
    cortex_facts,
    link_facts,
    surface_facts,
    surface_notes,
)
from cytomesh.graph.qc_page import quality_page
from cytomesh.graph.qc_pictures import named_sections
from cytomesh.graph.stereology import section_facts
from cytomesh.graph.storage import CortexGraph, write_graph
from cytomesh.imaging.normalise import Measured, measure_sections
from cytomesh.study.extent import check_extent, check_hemispheres
from cytomesh.study.problems import raise_problems
from cytomesh.study.study import Brain, Study, open_study
from cytomesh.surface.depth import sulcal_depth
from cytomesh.surface.gifti import SurfaceKind
from cytomesh.surface.mesh import Mesh, mean_curvature


@dataclass(frozen=True)
class _Task:
    manifest: Path
    run: Path
    brain: str
    hemisphere: str
    settings: BuildGraphConfig
    inputs: Inputs
    workers: int
    scheduler: str | None
    is_first: bool = False
    """Whether it is the first of its brain's that is built: what concerns all is said once."""
    stains: Measured = field(default_factory=dict)
    """Glass and tissue of the brain's sections."""

    @property
    def name(self) -> str:
        return f"{self.brain}_hemi-{self.hemisphere}"

    @property
    def product(self) -> Product:
        return product(self.run, "graphs", self.name)


def build_graphs(
    manifest: Path,
    run: Path,
    settings: BuildGraphConfig,
    *,
    resume: bool = True,
    workers: int = 0,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Build the graph of every hemisphere of a study and write it to `run/graphs`.

    Hemispheres run in parallel processes. Each takes the place of an earlier graph when it is whole; those whose
    settings and inputs are the same are kept if `resume`.

    Parameters
    ----------
    manifest : Path
        `study.yaml`.
    run : Path
        Run directory.
    workers : int
        Processes; 0 takes every available processor.
    scheduler : str or None
        Address of a Dask scheduler whose workers read the sections; surfaces are made here.

    Returns
    -------
    dict
        Per graph: number of nodes and links, Euler numbers, skipped sections, seconds.

    Raises
    ------
    StudyError, ContourError, ImageError, SurfaceError, AtlasError
        For inputs that cannot be used (unless `on_bad_section: skip` covers them).
    QualityError
        If a result fails the stage's own checks.
    """
    study = open_study(manifest)
    workers = workers or available_cpus()
    with lock(run, "graphs"), file_digests(run) as digests:
        write_study_path(run, manifest)
        hemispheres = [(brain, hemisphere) for brain in study.brains for hemisphere in brain.hemispheres]
        inner = max(1, workers // len(hemispheres))
        tasks = []
        for brain, hemisphere in hemispheres:
            inputs = graph_inputs(run, study, brain, hemisphere, settings, digests)
            tasks.append(_Task(manifest, run, brain.id, hemisphere, settings, inputs, inner, scheduler))
        todo = [task for task in tasks if not (resume and _is_current(task))]
        first = {task.brain: task.hemisphere for task in reversed(todo)}
        stains = {
            brain: measure_sections(
                study.brain(brain).sections, digests, workers=workers, scheduler=scheduler, manifest=study.path
            )
            for brain in first
        }
        todo = [
            replace(task, is_first=first[task.brain] == task.hemisphere, stains=stains[task.brain]) for task in todo
        ]
        for task, seconds in zip(
            todo, track(map_ordered(_build, todo, workers), "surfaces and links", len(todo)), strict=True
        ):
            log(f"{task.name}: built in {seconds:.1f} s")
        names = {task.name for task in tasks}
        for folder in product_folders(run, "graphs"):
            if folder.name not in names:
                warn(f"graphs/{folder.name}: the study has no such hemisphere; remove the folder if it is not wanted")
        write_text(run / "graphs" / "config.yaml", write_config(settings))
        new = {task.name for task in todo}
        return {task.name: _summary(read_json(task.product.folder / "qc.json"), task.name in new) for task in tasks}


def _is_current(task: _Task) -> bool:
    with task.product.open() as graph:
        graph.announce(task.inputs, "built again")
        return graph.is_current(task.inputs)


def _summary(qc: dict[str, Any], is_new: bool) -> dict[str, Any]:
    surfaces, links = qc["surfaces"], qc["links"]
    return {
        "n_nodes": surfaces["midthickness"]["n_vertices"],
        "n_outside_cortex": qc["cortex"]["n_outside"],
        "n_linked": links["n_linked"],
        "euler_number": surfaces["midthickness"]["euler_number"],
        "pial_area_mm2": qc["cortex"]["area_mm2"]["pial"],
        "thickness_mm": surfaces["thickness_mm"]["median"],
        "n_skipped_sections": len(qc["skipped_sections"]),
        "n_bridged_sections": len(qc["bridged"]),
        "seconds": qc["seconds"],
        "is_new": is_new,
    }


def _build(task: _Task) -> float:
    """Build and write one hemisphere; returns the seconds it took."""
    with task.product.writing(task.inputs, task.settings, task.settings.seed, resume=False) as work:
        seconds = _write(task, work.folder)
        work.finish()
    return seconds


def _write(task: _Task, folder: Path) -> float:
    start = time.perf_counter()
    study = open_study(task.manifest)
    brain = study.brain(task.brain)
    skip_bad = task.settings.on_bad_section == "skip"
    with phase("contours"):
        inputs = read_inputs(
            brain.sections, task.hemisphere, task.workers, skip_bad, scheduler=task.scheduler, manifest=study.path
        )
    drawn = [item.drawn for item in inputs]
    of_study = [item.section for item in inputs]
    raise_problems(check_extent(study.path, brain.id, of_study, drawn))
    if task.hemisphere not in brain.surfaces:
        raise_problems(check_hemispheres(study.path, [task.hemisphere], of_study, drawn))
    objections = stack_objections(task.manifest, inputs)
    if task.is_first:
        for line in said(objections, task.manifest):
            warn(line if line.startswith(f"{task.brain} ") else f"{task.brain}: {line}")
    with phase("surfaces"):
        if task.hemisphere in brain.surfaces:
            cortex = own_cortex(brain, task.hemisphere, inputs, task.settings, study.path.parent)
        else:
            cortex = rebuilt_cortex(task.name, task.hemisphere, inputs, task.settings)
    ribbon, is_cortex = cortex.ribbon, cortex.is_cortex
    with phase("checks of surfaces"):
        facts = {
            **cortex.record,
            "surfaces": surface_facts(ribbon, cortex.thickness_mm[is_cortex]),
            "cortex": cortex_facts(cortex.outside, ribbon, cortex.is_cut),
        }
    for line in surface_notes(facts):
        log(f"{task.name}: {line}")
    check_cortex(task.name, facts["cortex"])

    nodes, sections = ribbon.midthickness.vertices, link_sections(cortex.inputs)
    max_distance_mm = task.settings.links.max_distance_mm or median_spacing(brain.sections)
    max_reach_mm = task.settings.links.max_reach_mm or 2.0 * max_distance_mm
    normals = ribbon.midthickness.vertex_normals
    with phase("image links"):
        links = link_positions(ribbon, sections, nodes, max_distance_mm, max_reach_mm, normals)
    links = links.without(cortex.outside)
    n_reachable = count_reachable(sections, nodes[is_cortex], max_distance_mm)
    qc = {
        "name": task.name,
        **facts,
        "sections": section_facts(cortex.inputs, cortex.record["report"], links, cortex.alignment, task.stains),
        "links": {
            "max_distance_mm": max_distance_mm,
            "max_reach_mm": max_reach_mm,
            **link_facts(links, n_reachable, facts["cortex"]["n_nodes"]),
        },
        "objections": objections,
        "skipped_sections": [{"section": i.section.index, "problem": str(i.problem)} for i in inputs if i.problem],
        "unusable_sections": {str(s.index): s.status for s in brain.sections if s.status != "ok"},
    }
    verdicts = judge(qc, task.settings.checks)
    qc["verdicts"] = [asdict(verdict) for verdict in verdicts]
    page = folder / "qc.html"
    write_text(page, quality_page(qc, named_sections(verdicts, cortex.inputs, ribbon)))
    if task.hemisphere in brain.surfaces:
        check_pieces(task.name, facts["surfaces"])
    else:
        check_surfaces(task.name, facts["surfaces"], task.settings.checks)
    check_links(task.name, links, nodes, sections, n_reachable, max_reach_mm, task.settings.checks.min_linked)
    check_verdicts(task.name, verdicts, page)

    with phase("annotations and maps"):
        graph = _graph(study, brain, task.hemisphere, cortex, links)
    seconds = time.perf_counter() - start
    qc |= {"seconds": seconds, "n_annotated": int((graph.annotation > 0).sum())}
    surfaces: dict[SurfaceKind, Mesh] = {"pial": ribbon.pial, "white": ribbon.white}
    if cortex.sphere is not None:
        surfaces["sphere"] = cortex.sphere
    with phase("files"):
        write_graph(folder, graph, surfaces, qc, task.settings.formats)
    return seconds


def _graph(study: Study, brain: Brain, hemisphere: str, cortex: Cortex, links: ImageLinks) -> CortexGraph:
    mesh = cortex.ribbon.midthickness
    reference = brain.to_reference.apply(mesh.vertices)
    columns: dict[str, Any] = {
        **dict(zip(("x_mm", "y_mm", "z_mm"), mesh.vertices.T, strict=True)),
        **dict(zip(("ref_x_mm", "ref_y_mm", "ref_z_mm"), reference.T, strict=True)),
        "section": links.section,
        "column_px": links.pixels[:, 0],
        "row_px": links.pixels[:, 1],
        "angle_deg": links.angle_deg,
        "obliqueness_deg": links.obliqueness_deg,
        "distance_mm": links.distance_mm,
        "is_cortex": cortex.is_cortex,
        "is_linked": links.is_linked,
        "link_reason": links.reason,
        "section_role": section_roles(brain.sections, links),
        "annotation": transfer_annotation(brain.sections, links, study.labels),
        "thickness_mm": np.where(cortex.is_cortex, cortex.thickness_mm, np.nan),
        "curvature_per_mm": mean_curvature(mesh),
        "sulcal_depth_mm": sulcal_depth(cortex.ribbon.pial),
        "area_mm2": mesh.vertex_areas,
    }
    probabilities = sample_probabilities(study.atlas, reference)
    if probabilities is not None:
        columns["pmap"] = probabilities
    nodes = Table(columns, metadata={"study": study.name})
    return CortexGraph(brain.id, hemisphere, brain.role, mesh, nodes, study.labels)
