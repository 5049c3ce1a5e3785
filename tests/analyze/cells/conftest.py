"""A brain that is a ball: pial and white are spheres, so that depth, layers, areas and densities follow by pencil."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cytomesh.analyze.cells.config import CellsConfig
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.surface.gifti import write_surface
from cytomesh.surface.mesh import Mesh
from tests.analyze.cells.tables import write_parquet
from tests.conftest import sphere_mesh

PIAL_MM, WHITE_MM = 20.0, 17.0
UM_PER_PX, SIDE_PX = 100.0, 440
CENTRE_PX = (SIDE_PX - 1) / 2
PLANES_MM = {3: -1.5, 4: 0.0, 5: 1.5}
BOUNDARIES = [0.1, 0.2, 0.5, 0.6, 0.8]
PER_MM2 = (15.0, 30.0, 20.0, 36.0, 18.0, 25.0)
DIAMETERS_UM = (8.0, 9.0, 14.0, 8.0, 20.0, 12.0)
FILES = "cells/{brain}_{section:04d}.parquet"


@dataclass(frozen=True)
class Ball:
    """The study, and a run with its graph."""

    study: Path
    run: Path

    @property
    def folder(self) -> Path:
        return self.study.parent


def settings(**given) -> CellsConfig:
    tables = {"files": FILES, **given.pop("tables", {})}
    return CellsConfig.model_validate({"tables": tables, "grid_um": 250, "depth": "linear"} | given)


LAYERED = {"source": "depths", "depths": BOUNDARIES}


def linear_depth(pixels: np.ndarray, plane_mm: float) -> np.ndarray:
    """Depth of pixels in the ball, beyond 0 and 1 outside of the cortex."""
    in_plane = (pixels - CENTRE_PX) * 1e-3 * UM_PER_PX
    radius = np.sqrt((in_plane**2).sum(axis=1) + plane_mm**2)
    return (PIAL_MM - radius) / (PIAL_MM - WHITE_MM)


def draw_cells(section: int, seed: int = 0, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Cells of one section: numbers per layer are Poisson, places are even within it."""
    rng = np.random.default_rng((seed, section))
    n = rng.poisson(max(PER_MM2) * scale * (SIDE_PX * 1e-3 * UM_PER_PX) ** 2)
    pixels = rng.uniform(-0.5, SIDE_PX - 0.5, (n, 2))
    depth = linear_depth(pixels, PLANES_MM[section])
    layer = np.searchsorted(BOUNDARIES, depth.clip(0, 1))
    kept = (depth > 0) & (depth < 1) & (rng.uniform(size=n) < np.array(PER_MM2)[layer] / max(PER_MM2))
    diameter = np.array(DIAMETERS_UM)[layer[kept]]
    return {
        "column_px": pixels[kept, 0],
        "row_px": pixels[kept, 1],
        "area_um2": np.pi / 4 * diameter**2,
        "layer": layer[kept] + 1,
    }


def write_ball(folder: Path, thickness_um: float | None = None) -> None:
    """Write the study of one hemisphere in three sections with images, surfaces and tables of cells."""
    folder.mkdir(parents=True)
    sphere = sphere_mesh(4, 1.0)
    for kind, radius in (("pial", PIAL_MM), ("white", WHITE_MM)):
        write_surface(folder / f"{kind}.surf.gii", Mesh(sphere.vertices * radius, sphere.faces), "L", kind)
    sections = []
    step = 1e-3 * UM_PER_PX
    for index, y in PLANES_MM.items():
        image = folder / f"section_{index}.png"
        Image.fromarray(np.full((SIDE_PX, SIDE_PX), 200, np.uint8)).save(image)
        origin = (-CENTRE_PX * step, y, CENTRE_PX * step)
        plane = SectionPlane(np.array([(step, 0, 0), (0, 0, -step), origin]).T)
        sections.append(Section("B01", index, image, UM_PER_PX, plane))
        write_parquet(folder / "cells" / f"B01_{index:04d}.parquet", UM_PER_PX, **draw_cells(index))
    write_sections(folder / "sections.tsv", sections)
    surfaces = {kind: f"{kind}.surf.gii" for kind in ("pial", "white")}
    brain = {
        "id": "B01",
        "role": "train",
        "hemispheres": ["L"],
        "sections": "sections.tsv",
        "surfaces": {"L": surfaces},
    }
    manifest = {"name": "ball", "species": "none", "stain": "Nissl", "space": {"name": "native"}, "brains": [brain]}
    (folder / "study.yaml").write_text(yaml.safe_dump(manifest))


@pytest.fixture(scope="session")
def ball(tmp_path_factory) -> Ball:
    """The ball with its graph; tests that change files work on copies."""
    folder = tmp_path_factory.mktemp("ball")
    write_ball(folder / "study")
    build_graphs(folder / "study" / "study.yaml", folder / "run", BuildGraphConfig(), workers=1)
    return Ball(folder / "study" / "study.yaml", folder / "run")
