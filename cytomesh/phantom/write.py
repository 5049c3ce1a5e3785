"""Write the phantom study: manifest, BIDS tree, atlas and truth."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cytomesh.core.config import write_config
from cytomesh.core.files import clear_partial, write_json, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.core.parallel import available_cpus, map_ordered
from cytomesh.core.progress import track
from cytomesh.core.provenance import RECORD, Inputs, Record, flat_settings, made_now, read_record, write_record
from cytomesh.core.run import lock
from cytomesh.core.tables import Table, write_table
from cytomesh.phantom.areas import area_name, draw_atlas, probability_maps
from cytomesh.phantom.artefacts import Artefact
from cytomesh.phantom.brain import PhantomBrain, declare, draw_brain, jobs, sample_label
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.geometry import PhantomCortex, template
from cytomesh.phantom.profiles import LAYERS, Profiles, draw_profiles
from cytomesh.phantom.section import STAIN, SectionJob, make_section
from cytomesh.study.atlas import write_labels, write_probability_maps
from cytomesh.study.bids import Participant, Sample, write_bids_tables, write_dataset_description
from cytomesh.study.manifest import (
    AtlasConfig,
    BrainConfig,
    Manifest,
    SpaceConfig,
    TemplateSurfaces,
    TransformConfig,
    write_manifest,
)
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.study.transforms import write_displacement
from cytomesh.surface.gifti import SurfaceKind, write_surface
from cytomesh.surface.gifti import write_labels as write_label_gifti
from cytomesh.surface.mesh import Mesh

SPECIES = "Homo sapiens"
SPACE = "fsaverage"
FORMAT = 1
"""Raised when the same settings give another study than before."""
BATCH = 64
"""Sections whose cortex is in memory at once."""

Cut = list[tuple[Section, SectionPlane, tuple[int, int], Artefact]]


def write_phantom(out: Path, settings: PhantomConfig, *, workers: int = 0, resume: bool = True) -> dict[str, Any]:
    """Write the study below `out`; the number of workers changes nothing but time.

    Parameters
    ----------
    out : Path
        Folder of the study: study.yaml, sub-*/, derivatives/, atlas/, truth/.
    settings : PhantomConfig
    workers : int
        Processes; 0 takes every available processor.
    resume : bool
        Keep a study that was finished with the same settings.

    Returns
    -------
    dict
        What was written: manifest, brains, sections, areas, pixels, seconds.
    """
    start = time.perf_counter()
    marker, inputs = out / "truth" / RECORD, Inputs(flat_settings(settings), {"format": FORMAT})
    # one thread here as in the workers: sums in another order would give other bytes
    with lock(out, "truth"), threadpool_limits(1):
        record = read_record(marker)
        if resume and record and not record.inputs.changes(inputs):
            return {"manifest": str(out / "study.yaml"), "is_kept": True}
        marker.unlink(missing_ok=True)
        clear_partial(out)
        write_text(out / "truth" / "config.yaml", write_config(settings))
        common = template(settings.hemisphere)
        atlas, seeds = draw_atlas(common, settings.areas.count, settings.seed)
        profiles = draw_profiles(common.sphere[seeds], settings.areas.contrast, settings.seed)
        labels = LabelTable.from_names([area_name(i) for i in range(1, settings.areas.count + 1)])
        brains = [draw_brain(brain, settings, common, atlas) for brain in settings.brains]
        cuts = [declare(brain, settings, out) for brain in brains]
        _write_atlas(out, settings, common, atlas, labels, profiles, brains)
        for brain in brains:
            _write_true_surfaces(out, settings.hemisphere, brain, common, labels)
        facts = _write_sections(out, settings, brains, cuts, profiles, workers or available_cpus())
        _write_tables(out, settings, brains, cuts)
        seconds = round(time.perf_counter() - start, 3)
        write_record(marker, Record("phantom", settings.name, inputs, made=made_now(settings.seed), seconds=seconds))
    return {
        "manifest": str(out / "study.yaml"),
        "brains": len(brains),
        "sections": len(facts),
        "areas": settings.areas.count,
        "megapixels": round(sum(fact["pixels"] for fact in facts) / 1e6, 1),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _write_sections(
    out: Path, settings: PhantomConfig, brains: list[PhantomBrain], cuts: list[Cut], profiles: Profiles, workers: int
) -> list[dict[str, Any]]:
    queue: Iterator[SectionJob] = itertools.chain.from_iterable(
        jobs(brain, sections, settings, profiles, out) for brain, sections in zip(brains, cuts, strict=True)
    )
    total = sum(artefact != "missing" for sections in cuts for *_, artefact in sections)

    def made() -> Iterator[dict[str, Any]]:
        size = total if workers <= 1 else BATCH * workers
        while batch := list(itertools.islice(queue, size)):
            yield from map_ordered(make_section, batch, workers)

    return list(track(made(), "sections", total, "sections"))


def _write_atlas(
    out: Path,
    settings: PhantomConfig,
    common: PhantomCortex,
    atlas: NDArray[np.int32],
    labels: LabelTable,
    profiles: Profiles,
    brains: list[PhantomBrain],
) -> None:
    write_labels(out / "atlas" / "labels.tsv", labels)
    training = [brain for brain in brains if brain.config.role == "train"]
    step = settings.geometry.transform_mm
    reference = [b.shape.registration(b.cortex, step).apply(b.cortex.midsurface) for b in training]
    maps, affine = probability_maps(
        reference, [b.labels for b in training], len(labels), settings.areas.pmap_mm, settings.areas.pmap_smoothing_mm
    )
    write_probability_maps(out / "atlas" / "pmaps.nii.gz", maps, affine)
    side = settings.hemisphere
    _write_surfaces(out / "atlas", side, common)
    # one sphere serves all brains: their vertices correspond
    sphere = Mesh(100.0 * common.sphere, common.faces)
    write_surface(out / "atlas" / f"hemi-{side}_sphere.surf.gii", sphere, side, "sphere")
    write_label_gifti(out / "truth" / "atlas.label.gii", atlas, labels, settings.hemisphere)
    rows = {
        name: {
            layer: {
                "thickness": profiles.thickness[i, j],
                "cells_per_mm3": profiles.density[i, j],
                "cell_um": profiles.size[i, j],
            }
            for j, layer in enumerate(LAYERS)
        }
        | {"columnarity": profiles.columnarity[i]}
        for i, name in enumerate(("medial wall", *labels.names))
    }
    write_json(out / "truth" / "profiles.json", rows)


def _write_true_surfaces(
    out: Path, hemisphere: str, brain: PhantomBrain, common: PhantomCortex, labels: LabelTable
) -> None:
    """Write surfaces, areas and nodes: node i is vertex i of the true midsurface, and of every brain's."""
    folder = out / "truth" / f"sub-{brain.config.id}"
    _write_surfaces(folder, hemisphere, brain.cortex)
    write_label_gifti(folder / f"hemi-{hemisphere}_areas.label.gii", brain.labels, labels, hemisphere)
    write_json(folder / "repertoire.json", brain.repertoire.named(labels.names))
    middle, reference = brain.cortex.midsurface, common.midsurface
    columns: dict[str, NDArray[Any]] = {f"{axis}_mm": middle[:, i] for i, axis in enumerate("xyz")}
    columns |= {f"ref_{axis}_mm": reference[:, i] for i, axis in enumerate("xyz")}
    columns["thickness_mm"] = np.linalg.norm(brain.cortex.pial - brain.cortex.white, axis=1)
    units = dict.fromkeys(columns, "mm")
    columns["area"] = brain.labels
    write_table(folder / f"hemi-{hemisphere}_nodes.parquet", Table(columns, units, {"brain": brain.config.id}))


def _write_surfaces(folder: Path, hemisphere: str, cortex: PhantomCortex) -> None:
    points: dict[SurfaceKind, NDArray[np.float64]] = {
        "pial": cortex.pial,
        "white": cortex.white,
        "midthickness": cortex.midsurface,
    }
    for kind, vertices in points.items():
        write_surface(folder / f"hemi-{hemisphere}_{kind}.surf.gii", Mesh(vertices, cortex.faces), hemisphere, kind)


def _write_tables(out: Path, settings: PhantomConfig, brains: list[PhantomBrain], cuts: list[Cut]) -> None:
    side = settings.hemisphere
    described = []
    samples = []
    for brain, sections in zip(brains, cuts, strict=True):
        name = brain.config.id
        registration = brain.shape.registration(brain.cortex, settings.geometry.transform_mm)
        displacement = Path(f"sub-{name}") / f"sub-{name}_to-{SPACE}_displacement.nii.gz"
        if registration.displacement is not None:
            write_displacement(out / displacement, registration.displacement)
        table = Path(f"sub-{name}") / "sections.tsv"
        write_sections(out / table, [section for section, *_ in sections])
        described.append(
            BrainConfig(
                id=name,
                role=brain.config.role,
                hemispheres=(side,),
                sections=table,
                to_reference=TransformConfig(affine=registration.affine.tolist(), displacement=displacement),
            )
        )
        samples += [
            Sample(sample_label(s.index), name, s.index, s.plane.offset_mm, s.role, s.status, s.notes)
            for s, *_ in sections
        ]
    participants = [Participant(brain.config.id, SPECIES, brain.config.role, (side,)) for brain in brains]
    write_bids_tables(out, participants, samples)
    write_dataset_description(out, settings.name)
    write_dataset_description(out / "derivatives" / "cytomesh", settings.name, is_derivative=True)
    surfaces = {kind: Path("atlas") / f"hemi-{side}_{kind}.surf.gii" for kind in ("pial", "white")}
    write_manifest(
        out / "study.yaml",
        Manifest(
            name=settings.name,
            species=SPECIES,
            stain=STAIN,
            space=SpaceConfig(name=SPACE, template={side: TemplateSurfaces(**surfaces)}),
            atlas=AtlasConfig(
                labels=Path("atlas/labels.tsv"), probability_maps=Path("atlas/pmaps.nii.gz"), space=SPACE
            ),
            brains=described,
        ),
    )
