"""Analytic ribbons, section planes and a tiny study on disk for the graph tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.core.labels import LabelTable
from cytomesh.graph.links import Ribbon
from cytomesh.study.atlas import write_labels
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.surface.mesh import Mesh

UM_PER_PX = 100.0
WIDTH, HEIGHT = 300, 300
PIAL, WHITE = (12.0, 9.0, 10.0), (9.5, 6.5, 7.5)  # semi-axes of the study's ellipsoids, mm
SECTION_Y = np.arange(-9.5, 10.0, 1.0)


def sphere_ribbon(subdivisions: int = 4, radii: tuple[float, float, float] = (10.0, 9.0, 8.0)) -> Ribbon:
    """Concentric spheres: pial, midsurface and white of these radii, mm."""
    unit = trimesh.creation.icosphere(subdivisions=subdivisions)
    pial, mid, white = (Mesh(unit.vertices * radius, unit.faces) for radius in radii)
    return Ribbon(pial, mid, white)


def folded_ribbon(subdivisions: int = 4) -> Ribbon:
    """A sphere whose radius waves with direction: sulci and gyri, depth along the radius."""
    unit = trimesh.creation.icosphere(subdivisions=subdivisions)
    v = unit.vertices
    wave = 1.0 + 0.12 * np.sin(5 * v[:, 0]) * np.cos(6 * v[:, 1] + 1) + 0.08 * np.sin(7 * v[:, 2])
    pial, mid, white = (Mesh(v * (radius * wave)[:, None], unit.faces) for radius in (20.0, 18.8, 17.5))
    return Ribbon(pial, mid, white)


def coronal_plane(y_mm: float, um_per_px: float = 50.0, corner_mm: float = 25.0) -> SectionPlane:
    """A plane of constant y: columns run to +x, rows to -z."""
    step = um_per_px / 1000.0
    return SectionPlane(np.array([[step, 0.0, -corner_mm], [0.0, 0.0, y_mm], [0.0, -step, corner_mm]]))


def tilted_plane(y_mm: float, tilt_deg: float, um_per_px: float = 50.0) -> SectionPlane:
    """A coronal plane turned about the x axis through (0, y_mm, 0)."""
    turn, step = np.radians(tilt_deg), um_per_px / 1000.0
    across, down = np.array([1.0, 0.0, 0.0]), np.array([0.0, np.sin(turn), -np.cos(turn)])
    origin = np.array([0.0, y_mm, 0.0]) - 25.0 * across - 25.0 * down
    return SectionPlane(np.stack([across * step, down * step, origin], axis=1))


@pytest.fixture(scope="session")
def shapes() -> SimpleNamespace:
    """Functions that make ribbons and planes."""
    return SimpleNamespace(sphere=sphere_ribbon, folded=folded_ribbon, coronal=coronal_plane, tilted=tilted_plane)


def ellipse_px(plane: SectionPlane, axes: tuple[float, float, float], n: int = 96) -> MultiPolygon:
    """The cut of an ellipsoid about the origin by a coronal plane, pixels."""
    y_mm = plane.to_world[1, 2]
    if abs(y_mm) >= axes[1]:
        return MultiPolygon()
    shrink = np.sqrt(1.0 - (y_mm / axes[1]) ** 2)
    angle = np.linspace(0.0, 2.0 * np.pi, n, endpoint=False)
    ring = np.stack([axes[0] * shrink * np.cos(angle), np.full(n, y_mm), axes[2] * shrink * np.sin(angle)], axis=1)
    return MultiPolygon([Polygon(plane.pixels(ring))])


def write_study(folder: Path, missing: tuple[int, ...] = ()) -> Path:
    """Write a study of nested ellipsoids, 1 mm sections: image, contours and annotation (left 1, right 2) of each."""
    table = LabelTable.from_names(["west", "east"])
    write_labels(folder / "labels.tsv", table)
    sections = []
    for index, y_mm in enumerate(SECTION_Y):
        plane = coronal_plane(float(y_mm), UM_PER_PX, 15.0)
        if index in missing:
            sections.append(Section("B01", index, None, UM_PER_PX, plane, status="missing"))
            continue
        contours = HemisphereContours(ellipse_px(plane, PIAL), ellipse_px(plane, WHITE))
        image = np.full((HEIGHT, WIDTH), 255 - index, np.uint8)
        image[0, 0] = 0  # an image of one grey level is a problem
        areas = np.full((HEIGHT // 2, WIDTH // 2), 2, np.uint8)
        areas[:, : WIDTH // 4] = 1
        paths = [folder / "data" / f"{index:02d}{suffix}" for suffix in (".png", ".geojson", "_areas.png")]
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(paths[0])
        write_contours(paths[1], SectionContours({"L": contours}))
        Image.fromarray(areas).save(paths[2])
        role = "test" if index % 4 == 0 else "train"
        sections.append(
            Section("B01", index, paths[0], UM_PER_PX, plane, paths[1], paths[2], role, "ok", 2 * UM_PER_PX)
        )
    write_sections(folder / "sections.tsv", sections)
    manifest = {
        "name": "ellipsoids",
        "species": "none",
        "stain": "none",
        "space": {"name": "own"},
        "atlas": {"labels": "labels.tsv", "space": "own"},
        "brains": [{"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(manifest))
    return folder / "study.yaml"


@pytest.fixture(scope="session")
def write_ellipsoids() -> Callable[..., Path]:
    """The function that writes the study into a folder of choice."""
    return write_study


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the study of nested ellipsoids and returns its manifest."""
    return lambda **options: write_study(tmp_path / "study", **options)
