"""A run on three small spherical brains with textured sections, as build-graph would leave it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
import trimesh
import yaml
from PIL import Image

from cytomesh.core.labels import LabelTable
from cytomesh.core.run import read_study_path, write_study_path
from cytomesh.core.tables import Table
from cytomesh.graph.storage import CortexGraph, save_graph
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.surface.gifti import write_surface
from cytomesh.surface.mesh import Mesh

RADIUS_MM = 20.0
SPACING_MM = 8.0
UM_PER_PX = 500.0
SIDE_PX = 96
N_AREAS = 4
ROLES = {"T01": "train", "T02": "transfer", "T03": "unseen"}


def write_run(folder: Path, n_channels: int = 1, hemisphere: str = "L") -> Path:
    """Write study and graphs; return the run directory."""
    run, study = folder / "run", folder / "study"
    brains = []
    for number, (brain, role) in enumerate(ROLES.items()):
        graph = sphere(brain, role, number, hemisphere)
        rng = np.random.default_rng(number)
        sections = []
        for index in np.unique(graph.section[graph.is_linked]):
            image = study / brain / f"{index}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
            Image.fromarray(noise if n_channels == 3 else noise[..., 0]).save(image)
            step = UM_PER_PX / 1000
            y = index * SPACING_MM - RADIUS_MM
            corner = step * (SIDE_PX - 1) / 2
            plane = SectionPlane(np.array([[step, 0.0, -corner], [0.0, 0.0, y], [0.0, -step, corner]]))
            sections.append(Section(brain, int(index), image, UM_PER_PX, plane))
        write_sections(study / brain / "sections.tsv", sections)
        brains.append({"id": brain, "role": role, "hemispheres": [hemisphere], "sections": f"{brain}/sections.tsv"})
        save_graph(run, graph, {"pial": graph.mesh, "white": graph.mesh}, {})
    manifest = {"name": "spheres", "species": "none", "stain": "noise", "space": {"name": "sphere"}, "brains": brains}
    (study / "study.yaml").write_text(yaml.safe_dump(manifest))
    write_study_path(run, study / "study.yaml")
    return run


def write_template(run: Path) -> None:
    """Declare a template in the study: left pial and white, half a millimetre around a coarse sphere."""
    study = read_study_path(run)
    shape = trimesh.creation.icosphere(subdivisions=2)
    manifest = yaml.safe_load(study.read_text())
    surfaces = {}
    for kind, radius in (("pial", RADIUS_MM + 0.5), ("white", RADIUS_MM - 0.5)):
        write_surface(study.parent / f"{kind}.surf.gii", Mesh(shape.vertices * radius, shape.faces), "L", kind)
        surfaces[kind] = f"{kind}.surf.gii"
    manifest["space"]["template"] = {"L": surfaces}
    study.write_text(yaml.safe_dump(manifest))


def sphere(brain: str, role: str, seed: int, hemisphere: str) -> CortexGraph:
    """An icosphere of 162 nodes in coronal sections, of five one for validation and one for tests; areas: octants."""
    shape = trimesh.creation.icosphere(subdivisions=2, radius=RADIUS_MM)
    mesh = Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int64))
    x, y, z = mesh.vertices.T
    n = mesh.n_vertices
    section = np.round((y + RADIUS_MM) / SPACING_MM).astype(np.int32)
    is_linked = np.abs(y) < 0.95 * RADIUS_MM
    area = 1 + (x > 0) + 2 * (z > 0)
    rng = np.random.default_rng(seed + 100)
    pmap = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), area - 1)), shape=(n, N_AREAS))
    columns = {
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
        "ref_x_mm": x + rng.normal(0, 0.2, n),
        "ref_y_mm": y,
        "ref_z_mm": z,
        "section": np.where(is_linked, section, -1).astype(np.int32),
        "column_px": x / (UM_PER_PX / 1000) + (SIDE_PX - 1) / 2,
        "row_px": -z / (UM_PER_PX / 1000) + (SIDE_PX - 1) / 2,
        "angle_deg": np.degrees(np.arctan2(z, x)),
        "obliqueness_deg": np.zeros(n),
        "distance_mm": np.zeros(n),
        "is_linked": is_linked,
        "link_reason": np.where(is_linked, "", "outermost"),
        "section_role": np.where(is_linked, np.array(["train", "val", "train", "train", "test"])[section % 5], "none"),
        "annotation": np.where(is_linked, area, 0).astype(np.int32),
        "thickness_mm": np.full(n, 2.5),
        "curvature_per_mm": np.full(n, 0.05),
        "area_mm2": mesh.vertex_areas,
        "pmap": pmap,
    }
    labels = LabelTable.from_names([f"A{i}" for i in range(1, N_AREAS + 1)])
    return CortexGraph(brain, hemisphere, role, mesh, Table(columns), labels)
