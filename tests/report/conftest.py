"""A small run with every stage's files: two ellipsoid hemispheres cut into sections with images."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
import trimesh
import yaml
from PIL import Image
from shapely.geometry import MultiPolygon

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.files import write_text
from cytomesh.core.labels import LabelTable
from cytomesh.core.run import write_study_path
from cytomesh.core.tables import Table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import CortexGraph, save_graph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.surface.mesh import Mesh

UM_PER_PX = 250.0
RADII = np.array([24.0, 34.0, 26.0])
AREAS = ("hOc1", "4a <b>&", "3b", "FG1", "44", "OP1", "hIP1", "Te1")
MODELS: dict[str, dict] = {"linear": {"kind": "logistic"}, "mlp": {"kind": "mlp", "hidden": 16}}
ROLES = {"B01": "train", "B02": "unseen"}


def _ellipsoid(subdivisions: int, shrink: float, centre: np.ndarray) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions)
    ripple = 1 + 0.06 * np.sin(6 * sphere.vertices[:, 1:2] + 3 * sphere.vertices[:, 2:3])
    return Mesh(sphere.vertices * ripple * (RADII - shrink) + centre, sphere.faces)


def _plane(y_mm: float) -> SectionPlane:
    mm = UM_PER_PX / 1000
    return SectionPlane(np.array([[mm, 0, -60.0], [0, 0, y_mm], [0, -mm, 35.0]]))


def _cut(mesh: Mesh, plane: SectionPlane, y_mm: float) -> MultiPolygon:
    lines = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).section([0, 1, 0], [0, y_mm, 0])
    rings = [shapely.Polygon(plane.pixels(np.asarray(ring))) for ring in lines.discrete]
    return MultiPolygon([shapely.simplify(ring.buffer(0), 0.01) for ring in rings])


def write_run(folder: Path, subdivisions: int = 4, spacing_mm: float = 4.0) -> Path:
    """Write a study and a run; returns the run directory."""
    random = np.random.default_rng(5)
    labels = LabelTable.from_names(AREAS)
    study, run = folder / "study", folder / "run"
    brains = []
    for brain, role in ROLES.items():
        centre = np.array([-32.0, 0.0, 0.0])
        pial, middle, white = (_ellipsoid(subdivisions, shrink, centre) for shrink in (0.0, 1.3, 2.6))
        sections = []
        offsets = np.arange(-28.0, 28.1, spacing_mm)
        for index, y_mm in enumerate(offsets):
            plane = _plane(y_mm)
            place = study / f"sub-{brain}"
            contours = HemisphereContours(_cut(pial, plane, y_mm), _cut(white, plane, y_mm))
            write_contours(place / f"{index}.geojson", SectionContours({"L": contours}))
            rows, columns = np.mgrid[0:280, 0:260]
            pixels = shapely.contains_xy(contours.pial, columns, rows)
            inner = shapely.contains_xy(contours.white, columns, rows)
            image = np.where(pixels, np.where(inner, 205, 150), 245) + random.normal(0, 14, pixels.shape)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(place / f"{index}.png")
            section_role = ("train", "val", "test")[index % 3] if role == "train" else "test"
            sections.append(
                Section(
                    brain,
                    index,
                    place / f"{index}.png",
                    UM_PER_PX,
                    plane,
                    place / f"{index}.geojson",
                    None,
                    section_role,
                )
            )
        write_sections(study / f"sub-{brain}" / "sections.tsv", sections)
        brains.append(f"  - {{id: {brain}, role: {role}, hemispheres: [L], sections: sub-{brain}/sections.tsv}}")
        graph = _graph(brain, role, middle, pial, labels, sections, offsets)
        save_graph(run, graph, {"pial": pial, "white": white}, _quality(graph))
        _results(run, graph, random)
    manifest = [
        "name: '<i>Ellipsoid</i> & friends'",
        "species: Homo sapiens",
        "stain: cell bodies (simulated)",
        "space: {name: world}",
        "brains:",
        *brains,
    ]
    write_text(study / "study.yaml", "\n".join(manifest) + "\n")
    write_study_path(run, study / "study.yaml")
    _encoder(run, random)
    training = {"epochs": 10, "validate_every": 2}
    for name, model in MODELS.items():
        settings = {"model": model, "n_seeds": 2, "training": training, "device": "cpu"}
        classify_run(run, name, ClassifyConfig.model_validate(settings))
    parcels = {"n_parcels": 8, "evaluation": {"spins": 2, "tilings": 2, "baselines": ["kmeans"]}, "n_gradients": 2}
    parcellate_run(run, "spectral", ParcellateConfig.model_validate(parcels))
    return run


def _graph(
    brain: str, role: str, middle: Mesh, pial: Mesh, labels: LabelTable, sections: list[Section], offsets: np.ndarray
) -> CortexGraph:
    xyz, n = middle.vertices, middle.n_vertices
    nearest = np.abs(xyz[:, 1:2] - offsets).argmin(axis=1)
    distance = xyz[:, 1] - offsets[nearest]
    is_linked = np.abs(distance) < 1.5
    pixels, tips = np.zeros((n, 2)), np.zeros((n, 2))
    for index, section in enumerate(sections):
        own = nearest == index
        pixels[own] = section.plane.pixels(xyz[own])
        tips[own] = section.plane.pixels(pial.vertices[own])
    step = tips - pixels
    direction = (pial.vertices - xyz) / np.linalg.norm(pial.vertices - xyz, axis=1)[:, None]
    annotation = 1 + (xyz[:, 1] > 0) * 1 + (xyz[:, 2] > 0) * 2 + (xyz[:, 0] > -32) * 4
    annotation[np.abs(xyz[:, 2]) > 20] = 0
    unlinked = np.where(is_linked, 0.0, np.nan)
    columns = {
        **{f"{axis}_mm": xyz[:, i] for i, axis in enumerate("xyz")},
        **{f"ref_{axis}_mm": xyz[:, i] for i, axis in enumerate("xyz")},
        "section": np.where(is_linked, nearest, -1).astype(np.int32),
        "column_px": pixels[:, 0] + unlinked,
        "row_px": pixels[:, 1] + unlinked,
        "angle_deg": np.degrees(np.arctan2(-step[:, 1], step[:, 0])) + unlinked,
        "obliqueness_deg": np.degrees(np.arcsin(np.abs(direction[:, 1]).clip(0, 1))) + unlinked,
        "distance_mm": distance + unlinked,
        "is_linked": is_linked,
        "link_reason": np.where(is_linked, "", "far from any section"),
        "section_role": np.where(is_linked, np.array([section.role for section in sections])[nearest], "none"),
        "annotation": annotation.astype(np.int32),
        "thickness_mm": 2.6 + 0.3 * np.sin(xyz[:, 2] / 6),
        "curvature_per_mm": 0.1 * np.sin(xyz[:, 1] / 3),
        "area_mm2": middle.vertex_areas,
    }
    return CortexGraph(brain, "L", role, middle, Table(columns), labels)


def _quality(graph: CortexGraph) -> dict:
    surface = {
        "euler_number": graph.mesh.euler_number,
        "is_closed": True,
        "area_mm2": 9000.0,
        "volume_mm3": 80000.0,
        "edge_mm": {"median": 2.1},
    }
    return {
        "surfaces": {
            "pial": surface,
            "midthickness": surface,
            "white": surface | {"euler_number": 0},
            "thickness_mm": {"p5": 2.2, "median": 2.6, "p95": 2.9},
        },
        "links": {
            "share_linked_of_reachable": 0.97,
            "distance_mm": {"median": 0.4, "p95": 1.2},
            "max_distance_mm": 1.5,
            "obliqueness_deg": {"median": 21.0},
            "reasons": {"far from any section": int((~graph.is_linked).sum())},
        },
        "skipped_sections": [{"section": 4, "problem": "ring <crosses> itself"}],
        "unusable_sections": {"7": "missing"},
    }


def _results(run: Path, graph: CortexGraph, random: np.random.Generator) -> None:
    features = np.zeros((graph.n_nodes, 6), np.float32)
    for area in range(1, len(AREAS) + 1):
        centre = np.random.default_rng(area).normal(0, 1, 6)
        features[graph.annotation == area] = centre
    features += random.normal(0, 1.0, features.shape)
    features[~graph.is_linked] = np.nan
    save_features(run, "cnn", graph, features, {"size_px": 16, "um_per_px": 250.0})


def _encoder(run: Path, random: np.random.Generator) -> None:
    """Write what `cytomesh pretrain` writes, the last line cut off as by a killed run."""
    lines = []
    for step in range(0, 600, 5):
        loss = 4.1 - step / 400 + random.normal(0, 0.05)
        numbers = {"loss": loss, "loss/spatial_nce": loss, "learning_rate": 1e-3 * (1 - step / 700)}
        numbers |= {"gradient_norm": 1.0, "spread": 0.2 + step / 2000, "effective_rank": 3.0 + step / 60}
        lines.append(json.dumps({"step": step, **numbers, "images_per_second": 210.0}))
    settings = {
        "encoder": {"name": "resnet18"},
        "objectives": {"spatial_nce": {"sigma_mm": 3.0}, "simclr": None},
        "patches": {"size_px": 16, "um_per_px": 250},
    }
    write_text(run / "encoders" / "cnn" / "metrics.jsonl", "\n".join(lines) + '\n{"step": 60')
    write_text(run / "encoders" / "cnn" / "config.yaml", yaml.safe_dump(settings))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("report"), subdivisions=3)
