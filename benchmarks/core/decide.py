"""Seconds to decide that nothing is to be done: `python -m benchmarks.core.decide`.

A study of 5,000 sections (quick: 500), each with an image (PNG, 256 x 256), contours and an annotation, and a run whose
graph, features and classifier are finished. Timed: `cytomesh status`' look at all of it, warm (files known by size,
times and inode), beside reading every file again, which is what a key by content costs without a memory - the peer.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import trimesh
import yaml
from PIL import Image

from benchmarks.common import Options, Result, interleave, main
from cytomesh.core.config import write_config
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.files import write_array, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.core.provenance import RECORD, Inputs, Record, write_record
from cytomesh.core.run import write_study_path
from cytomesh.core.tables import Table
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.freshness import Freshness, record_path
from cytomesh.graph.provenance import PARTS, features_read, graph_inputs, images_read, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs, save_graph
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.study.study import open_study
from cytomesh.surface.mesh import Mesh

SPACING_MM, UM_PER_PX, SIDE_PX, RADIUS_MM = 0.02, 400.0, 256, 50.0
COLUMNS = ("", "seconds")
GRAPH, FEATURES, AREAS = "graphs/B01_hemi-L", "features/vit/B01_hemi-L", "classify/gat"


def write_study(folder: Path, n_sections: int) -> None:
    """Write a study of equal sections."""
    rng = np.random.default_rng(0)
    ring = [[100.0, 100.0], [150.0, 100.0], [150.0, 150.0], [100.0, 150.0], [100.0, 100.0]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": polygon, "properties": {"classification": {"name": "pial_L"}}}
    drawing = json.dumps({"type": "FeatureCollection", "features": [feature]})
    sections = []
    step = UM_PER_PX / 1000
    for index in range(n_sections):
        image, contours, annotation = (folder / f"{index:04d}{end}" for end in (".png", ".geojson", "_areas.png"))
        Image.fromarray(rng.integers(0, 256, (SIDE_PX, SIDE_PX), np.uint8)).save(image, compress_level=1)
        contours.write_text(drawing)
        Image.fromarray(np.full((SIDE_PX, SIDE_PX), index % 7, np.uint8)).save(annotation)
        matrix = np.array([[step, 0.0, 0.0], [0.0, 0.0, index * SPACING_MM], [0.0, -step, 0.0]])
        plane = SectionPlane(matrix)
        sections.append(Section("B01", index, image, UM_PER_PX, plane, contours, annotation, role="train"))
    write_sections(folder / "sections.tsv", sections)
    manifest = {"name": "many", "species": "none", "stain": "noise", "space": {"name": "none"}}
    brain = {"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}
    write_text(folder / "study.yaml", yaml.safe_dump({**manifest, "brains": [brain]}))


def write_run(run: Path, manifest: Path, n_sections: int) -> None:
    """Write a finished graph, features and classifier, with records of what they were made from."""
    shape = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS_MM)
    mesh = Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int64))
    x, y, z = mesh.vertices.T
    section = np.arange(mesh.n_vertices) % n_sections
    columns = {"x_mm": x, "y_mm": y, "z_mm": z, "ref_x_mm": x, "ref_y_mm": y, "ref_z_mm": z}
    links = {"section": section.astype(np.int32), "is_linked": np.ones(len(x), bool)}
    links |= {name: np.full(len(x), 5.0) for name in ("column_px", "row_px", "angle_deg", "area_mm2")}
    links |= {"section_role": np.full(len(x), "train"), "annotation": np.ones(len(x), np.int32)}
    labels = LabelTable.from_names(["A"])
    graph = CortexGraph("B01", "L", "train", mesh, Table({**columns, **links}), labels)
    save_graph(run, graph, {}, {})
    write_study_path(run, manifest)
    write_text(run / GRAPH / "config.yaml", write_config(BuildGraphConfig()))
    write_array(run / f"{FEATURES}.npy", np.random.default_rng(0).normal(size=(len(x), 64)).astype(np.float32))
    for product, inputs in inputs_of(run, manifest, FileDigests()).items():
        record_path(run, product).parent.mkdir(parents=True, exist_ok=True)
        write_record(record_path(run, product), Record(product.partition("/")[0], product, inputs))


def inputs_of(run: Path, manifest: Path, digests: FileDigests) -> dict[str, Inputs]:
    """Return what the three products are made from, as the stages ask for it."""
    study = open_study(manifest)
    brain = study.brains[0]
    graphs = load_graphs(run)
    return {
        GRAPH: graph_inputs(run, study, brain, "L", BuildGraphConfig(), digests),
        FEATURES: images_read(run, study, brain.sections, digests).merge(parts_read(run, graphs, PARTS, digests)),
        AREAS: features_read(run, graphs, ["vit"], digests).merge(parts_read(run, graphs, PARTS, digests)),
    }


def look(run: Path, digests: FileDigests) -> None:
    """Look at everything, as any stage does before it begins."""
    freshness = Freshness(run, digests)
    for product in (GRAPH, FEATURES, AREAS):
        reasons = freshness.reasons(product)
        if reasons:
            raise RuntimeError(f"{product} should be up to date: {reasons}")


def measure(options: Options) -> Result:
    """Look with and without a memory, in turns."""
    n = 500 if options.quick else 5000
    with tempfile.TemporaryDirectory() as folder:
        study, run = Path(folder) / "study", Path(folder) / "run"
        study.mkdir()
        write_study(study, n)
        write_run(run, study / "study.yaml", n)

        def warm() -> None:
            with file_digests(run) as digests:
                look(run, digests)

        timings = interleave({"warm": warm, "every file read": lambda: look(run, FileDigests())}, 3 if n < 5000 else 5)
        size = (run / ".digests.json").stat().st_size / 1e6
        record = (run / f"{FEATURES}.{RECORD}").stat().st_size / 1e6
    rows = [[name, str(timing)] for name, timing in timings.items()]
    ratio = timings["every file read"].median / timings["warm"].median
    seconds = timings["warm"].median
    claim = f"{n:,} sections, {3 * n:,} files: nothing to do is known after {seconds:.2f} s, {ratio:.1f} times as fast"
    return Result("Deciding that nothing is to be done", COLUMNS, rows, claim, {"memory_mb": size, "record_mb": record})


if __name__ == "__main__":
    main(measure, __doc__)
