"""Surfaces that a study gives: read as they are, so that vertex i of the files is node i of the graph."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.errors import CytomeshError, SurfaceError
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.cortex import Cortex
from cytomesh.graph.cuts import ON_CUT, on_cut_rings
from cytomesh.graph.inputs import SectionInput, median_spacing, plane_contours
from cytomesh.graph.links import Ribbon
from cytomesh.graph.own_checks import check_given, check_sides, check_tissue
from cytomesh.graph.spheres import on_unit_sphere
from cytomesh.graph.vertex_columns import read_cortex
from cytomesh.study.contours import SectionContours
from cytomesh.study.image_checks import Depth
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.manifest import SurfaceFiles
from cytomesh.study.problems import attempt
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain
from cytomesh.study.warps import warped_plane
from cytomesh.surface.any_surface import read_surfaces
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import contour_distances

OWN = "own files"
NO_CORTEX = "no cortex in the study's map"
LOOSE = "in no triangle"


def own_cortex(
    brain: Brain, hemisphere: str, inputs: Sequence[SectionInput], settings: BuildGraphConfig, folder: Path
) -> Cortex:
    """Read the surfaces that a study gives for a hemisphere, and check that they lie where its sections do.

    Nodes are no cortex where the study's map says so, where no triangle has them, and near stretches of pial rings of
    class `cut`. Ends of the stack and images' borders are no cuts: the surfaces go on beyond them.

    Parameters
    ----------
    folder : Path
        Of the study, from which the record names the files.

    Raises
    ------
    SurfaceError
        That names the file, and what is wrong with it or its place.
    """
    files = brain.surfaces[hemisphere]
    ribbon, sphere = read_own(files)
    max_distance_mm = settings.links.max_distance_mm or median_spacing(brain.sections)
    check_sides(brain.surfaces)
    check_given(files, hemisphere, ribbon, inputs, max_distance_mm)
    pial = ribbon.pial
    outside = np.full(pial.n_vertices, "", dtype="<U48")
    rings_only = settings.cuts.model_copy(update={"image_border": False})
    outside[on_cut_rings(inputs, hemisphere, pial.vertices, rings_only, max_distance_mm)] = ON_CUT
    if files.cortex is not None:
        outside[~read_cortex(files.cortex, pial.n_vertices, hemisphere)] = NO_CORTEX
    outside[np.bincount(pial.faces.ravel(), minlength=pial.n_vertices) == 0] = LOOSE
    if (outside != "").all():
        hint = "look at the map, or leave it out: all vertices are cortex then"
        raise SurfaceError(files.cortex or files.pial, found="no vertex in cortex", expected="some", hint=hint)
    record = {
        "surfaces_from": OWN,
        "own_files": {kind: os.path.relpath(path, folder) for kind, path in files.files.items()},
        "report": _report(ribbon, inputs, hemisphere),
        "bridged": [],
        "trimmed": [],
    }
    thickness_mm = np.linalg.norm(pial.vertices - ribbon.white.vertices, axis=1)
    return Cortex(ribbon, thickness_mm, outside, inputs, record, sphere=sphere)


def read_own(files: SurfaceFiles) -> tuple[Ribbon, Mesh | None]:
    """Read the surfaces of a hemisphere, and its sphere if there is one.

    Raises
    ------
    SurfaceError
        If a file cannot be read or has other triangles than the rest, or the sphere is none.
    """
    surfaces = read_surfaces(files.files)
    sphere = surfaces.get("sphere")
    if files.sphere is not None and sphere is not None:
        try:
            on_unit_sphere(sphere.vertices)
        except CytomeshError as problem:
            hint = "give lh.sphere or its like, or leave the sphere out"
            raise SurfaceError(files.sphere, found=problem.found, expected=problem.expected, hint=hint) from problem
    return Ribbon(surfaces["pial"], surfaces["midthickness"], surfaces["white"]), sphere


def check_own_surfaces(
    surfaces: Mapping[str, SurfaceFiles],
    sections: Sequence[Section],
    contours: Sequence[SectionContours | None],
    depth: Depth,
) -> list[CytomeshError]:
    """Find what is wrong with the surfaces that a study gives for a brain; never raises.

    Parameters
    ----------
    surfaces : dict of {"L", "R"} to SurfaceFiles
        Absolute paths.
    sections : sequence of Section
        The brain's.
    contours : sequence of SectionContours or None
        What was read of each section.
    depth : {"quick", "usual", "thorough"}
        Where quick, no pixels are read.
    """
    problems: list[CytomeshError] = []
    inputs = list(_as_read(sections, contours))
    for hemisphere, files in surfaces.items():
        if not all(path.is_file() for path in files.files.values()):
            continue  # named already
        own = attempt(problems, lambda files=files: read_own(files))  # type: ignore[misc]
        if own is None or not inputs:
            continue
        before = len(problems)
        given = partial(check_given, files, hemisphere, own[0], inputs, median_spacing(sections))
        attempt(problems, given)
        if depth != "quick" and len(problems) == before:
            attempt(problems, partial(check_tissue, files, own[0], inputs))
    if not problems and all(files.pial.is_file() for files in surfaces.values()):
        attempt(problems, lambda: check_sides(surfaces))
    return problems


def _as_read(sections: Sequence[Section], contours: Sequence[SectionContours | None]) -> Iterator[SectionInput]:
    """Yield the sections whose image and displacement can be read; the others are problems of their own."""
    for section, drawn in zip(sections, contours, strict=True):
        with suppress(CytomeshError):
            plane = section.plane if section.status == "missing" else warped_plane(section)
            shape = read_header(section.image, section.image_part).shape if section.image else None
            yield SectionInput(section, plane, drawn, shape)


def _report(ribbon: Ribbon, inputs: Sequence[SectionInput], hemisphere: str) -> dict[str, Any]:
    """Return how far contours are from the surfaces, in the form that a reconstruction reports it."""
    contours = plane_contours(inputs, hemisphere)
    report = {}
    for kind in ("pial", "white"):
        distance = contour_distances(getattr(ribbon, kind), contours, kind)
        report[kind] = {
            "contour_distance_mm": {
                "mean": distance[:, 0].round(4).tolist(),
                "p95": distance[:, 1].round(4).tolist(),
            }
        }
    return report
