"""One brain of the phantom: its cortex, areas, fluctuation along the sheet, and where it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ConfigError
from cytomesh.core.random import generator
from cytomesh.phantom.areas import vary
from cytomesh.phantom.artefacts import Artefact, plan
from cytomesh.phantom.config import PhantomBrainConfig, PhantomConfig, SectionConfig
from cytomesh.phantom.fields import smooth_field
from cytomesh.phantom.geometry import PhantomCortex
from cytomesh.phantom.individual import Individual, individual
from cytomesh.phantom.profiles import N_LAYERS, Profiles
from cytomesh.phantom.repertoire import Repertoire, change_repertoire
from cytomesh.phantom.ribbon import Slab, crop
from cytomesh.phantom.section import SectionJob, section_seed
from cytomesh.phantom.stain import draw_stain
from cytomesh.study.bids import annotation_path, areas_path, contours_path, image_path
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, SectionRole

SHEET_MM = (10.0, 45.0)
"""Wavelengths of the fluctuation of cell density within areas."""
ROLES: tuple[SectionRole, ...] = ("train", "train", "val", "train", "test")
"""Roles of consecutive sections of a training brain: 60 / 20 / 20 percent, interleaved."""
FIRST_MM = 0.8
"""The first plane is at least this far into the tissue, the last one before its end."""


@dataclass(frozen=True)
class PhantomBrain:
    """One brain before it is cut.

    Parameters
    ----------
    config : PhantomBrainConfig
    shape : Individual
        How it differs from the template.
    cortex : PhantomCortex
        Its true surfaces.
    labels : (n,) int32
        Area of each vertex.
    repertoire : Repertoire
        Areas that it lacks or has twice.
    sheet : (n, 6) float32
        Fluctuation of log cell density of each layer.
    """

    config: PhantomBrainConfig
    shape: Individual
    cortex: PhantomCortex
    labels: NDArray[np.int32]
    repertoire: Repertoire
    sheet: NDArray[np.float32]


def draw_brain(
    config: PhantomBrainConfig, settings: PhantomConfig, template: PhantomCortex, atlas: NDArray[np.int32]
) -> PhantomBrain:
    """Draw one brain: shape, areas and fluctuation."""
    shape = individual(settings.geometry, settings.seed, config.id)
    labels = vary(atlas, template, settings.areas, settings.seed, config.id)
    labels, repertoire = change_repertoire(
        labels, template, config.missing_areas, config.doubled_areas, settings.seed, config.id
    )
    sheet = smooth_field(
        settings.seed, "sheet", config.id, rms=settings.stain.sheet_sd, wavelength=SHEET_MM, components=N_LAYERS
    )
    fluctuation = sheet(template.midsurface).astype(np.float32)
    return PhantomBrain(config, shape, shape.cortex(template), labels, repertoire, fluctuation)


def declare(
    brain: PhantomBrain, settings: PhantomConfig, folder: Path
) -> list[tuple[Section, SectionPlane, tuple[int, int], Artefact]]:
    """Decide where a brain is cut: (section as declared, true plane, image shape, artefact) along the normal.

    Raises
    ------
    ConfigError
        If fewer than three planes meet the brain.
    """
    rng = generator(settings.seed, "planes", brain.config.id)
    pial, config = brain.cortex.pial, settings.sections
    axes = _axes(brain.config)
    height = pial @ axes[2]
    back, front = float(height.min()), float(height.max())
    first = max(back + FIRST_MM, back + (config.first_mm or 0.0))
    last = min(front - FIRST_MM, back + config.last_mm if config.last_mm is not None else np.inf)
    positions = np.arange(first + rng.uniform(0, config.spacing_mm), last, config.spacing_mm)
    positions = positions + np.clip(rng.normal(0, config.spacing_jitter, len(positions)), -0.3, 0.3) * config.spacing_mm
    positions = positions[(positions > first) & (positions < last)]
    if len(positions) < 3:
        found = f"{len(positions)} planes between {first:.1f} and {last:.1f} mm"
        raise ConfigError("sections", found=found, expected="at least three", hint="lower sections.spacing_mm")
    # an angle at which the tissue lay on the scanner: known, so part of to_world
    angles = np.radians(rng.normal(0, 1.5, len(positions)))
    artefacts = plan(settings.artefacts, len(positions), settings.seed, brain.config.id)
    start = int(rng.integers(1, 30))
    declared = []
    for i, (place, angle, artefact) in enumerate(zip(positions, angles, artefacts, strict=True)):
        true, shape = _frame(pial, brain.cortex.faces, axes, float(place), float(angle), config)
        index = start + i
        known = _misaligned(true, shape, config.misalignment_mm, section_seed(settings.seed, brain.config.id, index))
        sample, has_data = sample_label(index), artefact != "missing"
        is_annotated, is_drawn = has_data and i % config.annotate_every == 0, config.annotate_as == "drawn"
        drawn_path = areas_path if is_drawn else annotation_path
        section = Section(
            brain=brain.config.id,
            index=index,
            image=image_path(folder, brain.config.id, sample) if has_data else None,
            um_per_px=config.um_per_px,
            plane=known,
            contours=contours_path(folder, brain.config.id, sample) if has_data else None,
            annotation=drawn_path(folder, brain.config.id, sample) if is_annotated else None,
            role="none" if not has_data else ROLES[i % len(ROLES)] if brain.config.role == "train" else "test",
            status="ok" if has_data else "missing",
            annotation_um_per_px=config.annotation_um_per_px if is_annotated and not is_drawn else None,
            notes="" if artefact == "none" else artefact,
        )
        declared.append((section, true, shape, artefact))
    return declared


def jobs(
    brain: PhantomBrain,
    sections: list[tuple[Section, SectionPlane, tuple[int, int], Artefact]],
    settings: PhantomConfig,
    profiles: Profiles,
    folder: Path,
) -> Iterator[SectionJob]:
    """Yield the work for each section that has an image."""
    cortex = brain.cortex
    slab = Slab(
        cortex.pial.astype(np.float32), cortex.white.astype(np.float32), cortex.faces, brain.labels, brain.sheet
    )
    stain = draw_stain(settings.stain, settings.seed, brain.config.id)
    stain = replace(stain, gain=brain.config.stain_gain * stain.gain)
    for section, true, shape, artefact in sections:
        if artefact == "missing":
            continue
        yield SectionJob(
            folder=folder,
            brain=brain.config.id,
            sample=sample_label(section.index),
            hemisphere=settings.hemisphere,
            slab=crop(slab, true.distance(cortex.pial), true.distance(cortex.white)),
            true=true,
            declared=section.plane,
            shape=shape,
            artefact=artefact,
            profiles=profiles,
            stain=stain,
            annotation=section.annotation,
            sections=settings.sections,
            stains=settings.stain,
            seed=section_seed(settings.seed, brain.config.id, section.index),
        )


def sample_label(index: int) -> str:
    """Return the BIDS sample label of a section number."""
    return f"{index:04d}"


def _axes(config: PhantomBrainConfig) -> NDArray[np.float64]:
    """Return how a brain is cut: rows right and down of its images, and the planes' normal, (3, 3) unit vectors."""
    x, y, z = np.eye(3)
    right, down, normal = {"coronal": (x, -z, y), "sagittal": (y, -z, x), "axial": (x, -y, z)}[config.plane]
    cos, sin = np.cos(np.radians(config.tilt_deg)), np.sin(np.radians(config.tilt_deg))
    return np.stack([right, cos * down + sin * normal, cos * normal - sin * down])


def _frame(
    pial: NDArray[np.float64],
    faces: NDArray[np.int64],
    axes: NDArray[np.float64],
    place: float,
    angle: float,
    config: SectionConfig,
) -> tuple[SectionPlane, tuple[int, int]]:
    """Return the plane at `place` along the normal, in an image that just holds the tissue, and the image's shape."""
    across, along, normal = axes
    is_above = pial @ normal >= place
    near = faces[~is_above[faces].all(axis=1) & is_above[faces].any(axis=1)]
    tissue = pial[np.unique(near)]
    right = np.cos(angle) * across - np.sin(angle) * along
    down = np.sin(angle) * across + np.cos(angle) * along
    step = 1e-3 * config.um_per_px
    low = np.array([(tissue @ right).min(), (tissue @ down).min()]) - config.margin_mm
    high = np.array([(tissue @ right).max(), (tissue @ down).max()]) + config.margin_mm
    multiple = max(1, round(config.annotation_um_per_px / config.um_per_px))
    width, height = (multiple * np.ceil((high - low) / (step * multiple))).astype(int)
    origin = low[0] * right + low[1] * down + place * normal
    return SectionPlane(np.stack([step * right, step * down, origin], axis=1)), (int(height), int(width))


def _misaligned(plane: SectionPlane, shape: tuple[int, int], sd_mm: float, seed: int) -> SectionPlane:
    """Shift and turn a plane within itself, about the middle of the image: about `sd_mm` at 30 mm from there."""
    rng = generator(seed, "misalignment")
    shift, turn = rng.normal(0, 0.8 * sd_mm, 2), rng.normal(0, 0.5 * sd_mm / 30.0)
    right, down, origin = plane.to_world.T
    centre = plane.world(np.array([[shape[1] / 2, shape[0] / 2]]))[0]
    units = np.stack([right, down], axis=1) / np.linalg.norm(right)
    turned = units @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = turned @ (units.T @ (origin - centre)) + centre + units @ shift
    return SectionPlane(
        np.column_stack([turned * np.linalg.norm(right), moved + plane.normal * (plane.normal @ (origin - moved))])
    )
