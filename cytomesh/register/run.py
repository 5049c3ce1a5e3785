"""The stage `register`: spheres of all hemispheres, brought onto one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.distributed import find_device
from cytomesh.core.errors import ConfigError, MissingStageError, SurfaceError, did_you_mean
from cytomesh.core.files import read_json, write_json
from cytomesh.core.parallel import available_cpus, mapping
from cytomesh.core.phases import phase
from cytomesh.core.progress import track
from cytomesh.core.provenance import Inputs, flat_settings, read_record
from cytomesh.core.reading import command, reading
from cytomesh.core.run import product, product_folders
from cytomesh.graph.freshness import Freshness, record_path
from cytomesh.graph.provenance import FURTHER, MEASURES, SPHERE, SURFACE, features_read, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.register.config import LimitsConfig, RegisterConfig
from cytomesh.register.distortion import stretch
from cytomesh.register.drivers import FEATURES, driver_values
from cytomesh.register.hemispheres import Hemisphere, open_hemisphere
from cytomesh.register.inflate import inflate
from cytomesh.register.template import Registered, registered
from cytomesh.register.warp import STAGES, Stage
from cytomesh.surface.gifti import read_sphere, write_surface

COMMON = "sphere.common.surf.gii"
NOT_IN_KEY = {"device"}
DRIVEN = 3.2
"""Scale of folding beside which other drivers count."""


def register_run(
    run: Path,
    name: str,
    settings: RegisterConfig,
    *,
    workers: int = 0,
    resume: bool = True,
    allow_stale: bool = False,
) -> dict[str, Any]:
    """Make a sphere for every hemisphere of a run and bring all onto a template; writes `register/<name>/<graph>/`.

    `inflated.surf.gii`; `sphere.surf.gii`, its own; `sphere.reg.surf.gii`, on the template of its side; and
    `sphere.common.surf.gii`, where right hemispheres are mirrored on the left template: what lies at the same place
    there corresponds, in any hemisphere.

    Parameters
    ----------
    workers : int
        Processes; 0 takes every available processor.

    Returns
    -------
    dict
        By graph, `sphere_area_log2`, `registered_area_log2` (see `stretch`) and `folding_correlation` with the
        template.

    Raises
    ------
    SurfaceError
        If a surface is no sphere topologically, looks like one of the other side, or a limit is not kept.
    ConfigError
        If there is one hemisphere only for a template of the study, or drivers for a template without them.
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    """
    graphs = load_graphs(run)
    _check_template(graphs, settings)
    result = product(run, "register", name)
    with file_digests(run) as digests, result.open():
        inputs = register_inputs(run, graphs, settings, digests)
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "registered again")
            with result.writing(inputs, settings, 0, resume=resume) as work:
                metrics = _register(run, work.folder, graphs, settings, workers or available_cpus())
                write_json(work.folder / "metrics.json", metrics)
                spheres = {graph.name: work.folder / graph.name / COMMON for graph in graphs}
                work.finish({name: digests.digest(path) for name, path in spheres.items()})
    path = result.folder / "metrics.json"
    metrics = read_json(path)
    with reading(path):
        return {name: _summary(facts) for name, facts in metrics["hemispheres"].items()}


def _check_template(graphs: Sequence[CortexGraph], settings: RegisterConfig) -> None:
    if settings.template == "study" and len(graphs) < 2:
        hint = "set template: fsaverage, or give the study more brains"
        raise ConfigError("template", "study", found="one hemisphere only", expected="two or more", hint=hint)
    if settings.template == "fsaverage" and settings.drivers:
        hint = "set template: study, whose mean has them, too"
        raise ConfigError("drivers", found="values that fsaverage does not have", hint=hint)


def register_inputs(run: Path, graphs: Sequence[CortexGraph], settings: RegisterConfig, digests: FileDigests) -> Inputs:
    """Return what a registration is made from."""
    names = [driver.name for driver in settings.drivers]
    encoders = [name.removeprefix(FEATURES) for name in names if name.startswith(FEATURES)]
    parts = [SURFACE]
    parts += [SPHERE] if settings.spheres == "given" else []
    parts += [MEASURES, FURTHER] if len(names) > len(encoders) else []
    own = Inputs(settings=flat_settings(settings, NOT_IN_KEY))
    return own.merge(parts_read(run, graphs, parts, digests)).merge(features_read(run, graphs, encoders, digests))


def registration_read(run: Path, name: str, graphs: Sequence[CortexGraph]) -> Inputs:
    """Return the inputs of a stage that reads where nodes lie on the common sphere.

    Raises
    ------
    MissingStageError
        If there is no such registration, or a graph is not in it.
    """
    product = f"register/{name}"
    path = record_path(run, product)
    record = read_record(path)
    lacking = [graph.name for graph in graphs if record is None or graph.name not in record.outputs]
    if record is None or lacking:
        known = [folder.name for folder in product_folders(run, "register")] if record is None else []
        hint = did_you_mean(name, set(known) - {name}, f"run '{command(run, 'register', name)}'")
        found = "no such registration" if record is None else f"a registration without {', '.join(lacking)}"
        raise MissingStageError(path.parent, found=found, hint=hint)
    products = {f"registration: {graph.name}": (product, graph.name, record.outputs[graph.name]) for graph in graphs}
    return Inputs(products=products)


def template_of(run: Path, name: str) -> str:
    """Return on which template a registration has brought hemispheres: "fsaverage" or "study"."""
    path = run / "register" / name / "metrics.json"
    metrics = read_json(path)
    with reading(path):
        return str(metrics["template"])


def _register(
    run: Path, folder: Path, graphs: Sequence[CortexGraph], settings: RegisterConfig, workers: int
) -> dict[str, Any]:
    stages: tuple[Stage, ...] = STAGES
    further = None
    if settings.drivers:
        further, weights = driver_values(run, graphs, settings.drivers)
        stages = (*STAGES, Stage(STAGES[-1].subdivisions, DRIVEN, tuple(weights)))
    with mapping(min(workers, len(graphs))) as apply:
        opened = apply(partial(_open, run, folder, settings), graphs)
        hemispheres = list(track(opened, "spheres", total=len(graphs), unit="hemispheres"))
        sides = [graph.hemisphere for graph in graphs]
        names = [graph.name for graph in graphs]
        with phase("registration"):
            found = registered(hemispheres, sides, settings, stages, further, apply, names)
    metrics = {}
    for graph, hemisphere, done in zip(graphs, hemispheres, found, strict=True):
        own = folder / graph.name
        write_surface(own / "sphere.reg.surf.gii", done.on_side, graph.hemisphere, "sphere")
        write_surface(own / COMMON, done.in_common, "L", "sphere")
        metrics[graph.name] = _facts(hemisphere, done)
        check_limits(graph.name, metrics[graph.name], settings.limits)
    return {"kind": "registration", "template": settings.template, "hemispheres": metrics}


def _open(run: Path, folder: Path, settings: RegisterConfig, graph: CortexGraph) -> Hemisphere:
    """Return a hemisphere with its sphere as it is written, here or before the run was stopped."""
    own = folder / graph.name
    sphere, inflated = own / "sphere.surf.gii", own / "inflated.surf.gii"
    if not inflated.is_file():  # written last
        own.mkdir(parents=True, exist_ok=True)
        opened = open_hemisphere(run, graph, settings, find_device(settings.device))
        write_surface(sphere, opened.sphere, graph.hemisphere, "sphere")
        write_surface(inflated, inflate(graph.mesh), graph.hemisphere, "inflated")
    return Hemisphere(graph.mesh, read_sphere(sphere, graph.hemisphere))


def _facts(hemisphere: Hemisphere, done: Registered) -> dict[str, Any]:
    return {
        "sphere": stretch(hemisphere.surface, hemisphere.sphere.vertices),
        "registered": stretch(hemisphere.sphere, done.on_side.vertices),
        "folding_correlation": done.correlation,
        "stages": done.stages,
    }


def check_limits(name: str, facts: dict[str, Any], limits: LimitsConfig) -> None:
    """Raise SurfaceError if a registration is beyond what is allowed."""
    found = facts["registered"]["area_log2"]
    if not found <= limits.area_log2:  # NaN, too
        hint = "raise stiffness, or limits.area_log2"
        raise SurfaceError(
            name,
            "sphere.reg",
            found=f"areas change {2**found:.2f} times",
            expected=f"{2**limits.area_log2:.2f}",
            hint=hint,
        )
    correlation = facts["folding_correlation"]
    if not correlation >= limits.folding_correlation:
        hint = "is the surface of this species, side and orientation (RAS)? Else lower limits.folding_correlation"
        raise SurfaceError(
            name,
            "sphere.reg",
            found=f"folds that correlate {correlation:.2f} with the template's",
            expected=f"{limits.folding_correlation:.2f} or more",
            hint=hint,
        )


def _summary(facts: dict[str, Any]) -> dict[str, float]:
    return {
        "sphere_area_log2": facts["sphere"]["area_log2"],
        "registered_area_log2": facts["registered"]["area_log2"],
        "folding_correlation": facts["folding_correlation"],
    }
