"""Write a study of the BigBrain contours and one real section: `python -m benchmarks.bigbrain.prepare --out DIR`.

Contours of both hemispheres, one GeoJSON file a plane, in pixels of a virtual image on section A's grid; section A (or
the one given by --section) joins the series as a section with an image. The image stays where it is.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml
from shapely.geometry import MultiPolygon, Polygon

from benchmarks.common import Options, parser
from cytomesh.core.files import write_json, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.study.atlas import write_labels
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections

MM_PER_PX = 0.0423333333
SAME_PLANE_MM = 1e-3
HEMISPHERES = ("L", "R")


@dataclass(frozen=True)
class CoronalImage:
    """A coronal section image: where its plane lies, and x and z of the centre of pixel (0, 0), mm."""

    path: Path
    y_mm: float
    x0_mm: float
    z0_mm: float


def section_a(bigbrain: Path) -> CoronalImage:
    """Return the section image that comes with the data."""
    path = bigbrain / "sections" / "bigbrain_coronal_A.png"
    return CoronalImage(path, 4.05, -70.57953615903705, 62.06407078497971)


def coronal_plane(y_mm: float, x0_mm: float, z0_mm: float) -> SectionPlane:
    """Return the plane of a coronal section: columns run to +x, rows to -z."""
    return SectionPlane(np.array([[MM_PER_PX, 0.0, x0_mm], [0.0, 0.0, y_mm], [0.0, -MM_PER_PX, z0_mm]]))


def section_index(y_mm: float) -> int:
    """Return a section's number, hundredths of a mm from y = -100: numbers rise with y, whatever is added."""
    return round((y_mm + 100.0) * 100.0)


def region(rings: Sequence[Sequence[Sequence[float]]], plane: SectionPlane) -> MultiPolygon:
    """Turn the closed (x, z) rings of a cut surface into its inside, in pixels: even-odd, as nested rings are holes."""
    inside = MultiPolygon()
    y_mm = plane.to_world[1, 2]
    for ring in rings:
        if len(ring) < 3:
            continue
        x, z = np.asarray(ring, np.float64).T
        pixels = plane.pixels(np.stack([x, np.full(len(x), y_mm), z], axis=1))
        inside = inside.symmetric_difference(shapely.make_valid(Polygon(pixels)))
    parts = [part for part in shapely.get_parts(inside) if isinstance(part, Polygon) and part.area > 0.0]
    return MultiPolygon(parts)


def read_planes(bigbrain: Path) -> dict[float, dict[str, Any]]:
    """Read the contour planes: y in mm -> hemisphere -> {"pial": rings, "white": rings}."""
    planes: dict[float, dict[str, Any]] = {}
    for hemisphere in HEMISPHERES:
        path = bigbrain / "contours" / f"bigbrain_{hemisphere}_coronal_contours_1mm.json.gz"
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for plane in json.load(stream)["sections"]:
                planes.setdefault(float(plane["y_mm"]), {})[hemisphere] = plane
    return planes


def write_study(bigbrain: Path, image: CoronalImage, out: Path) -> Path:
    """Write contours, section table, label table and manifest; returns the manifest."""
    out = out.resolve()
    sections: list[Section] = []
    has_place = False
    for y_mm, hemispheres in sorted(read_planes(bigbrain).items()):
        is_image = abs(y_mm - image.y_mm) < SAME_PLANE_MM
        has_place = has_place or is_image
        plane = coronal_plane(y_mm, image.x0_mm, image.z0_mm)
        contours = {
            name: HemisphereContours(region(rings["pial"], plane), region(rings["white"], plane))
            for name, rings in hemispheres.items()
        }
        path = out / "contours" / f"y{section_index(y_mm):05d}.geojson"
        write_contours(path, SectionContours(contours))
        sections.append(_section(y_mm, plane, image.path if is_image else None, path))
    if not has_place:
        sections.append(_section(image.y_mm, coronal_plane(image.y_mm, image.x0_mm, image.z0_mm), image.path, None))
    write_sections(out / "sections.tsv", sorted(sections, key=lambda section: section.index))
    names = json.loads((bigbrain / "nodes" / "label_names.json").read_text(encoding="utf-8"))["economo"]
    write_labels(out / "labels.tsv", LabelTable.from_names(names[1:]))
    manifest = _manifest() | {"data_roots": [str(image.path.parent)]}
    write_text(out / "study.yaml", yaml.safe_dump(manifest, sort_keys=False))
    return out / "study.yaml"


def _section(y_mm: float, plane: SectionPlane, image: Path | None, contours: Path | None) -> Section:
    role = "none" if image is None else "train"
    return Section("bigbrain", section_index(y_mm), image, MM_PER_PX * 1000.0, plane, contours, role=role)


def _manifest() -> dict[str, Any]:
    return {
        "name": "bigbrain",
        "species": "Homo sapiens",
        "stain": "cell bodies (Merker)",
        "space": {"name": "bigbrain-histological"},
        "atlas": {"labels": "labels.tsv", "space": "bigbrain-histological"},
        # the rings are cuts of meshes, rounded to a micrometre: a few touch themselves
        "contours": {"repair": True},
        "brains": [{"id": "bigbrain", "role": "train", "hemispheres": ["L", "R"], "sections": "sections.tsv"}],
    }


def _arguments() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--out", type=Path, required=True, help="folder of the study")
    arguments.add_argument("--section", type=Path, default=None, help="another coronal section image, instead of A")
    for name, meaning in (("y", "its plane"), ("x0", "centre of its first column"), ("z0", "centre of its first row")):
        arguments.add_argument(f"--{name}-mm", type=float, default=None, help=f"{meaning}, mm")
    parsed = arguments.parse_args()
    places = (parsed.y_mm, parsed.x0_mm, parsed.z0_mm)
    if (parsed.section is not None) != all(place is not None for place in places):
        arguments.error("--section goes with --y-mm, --x0-mm and --z0-mm")
    return parsed


def main() -> None:
    """Run the command."""
    arguments = _arguments()
    bigbrain = Options(arguments.data, quick=False).bigbrain()
    image = section_a(bigbrain)
    if arguments.section is not None:
        image = CoronalImage(arguments.section, arguments.y_mm, arguments.x0_mm, arguments.z0_mm)
    manifest = write_study(bigbrain, image, arguments.out)
    print(f"wrote {manifest}; next: cytomesh build-graph {manifest} --out RUN")
    if arguments.json:
        write_json(arguments.json, {"study": manifest, "image": image.path, "y_mm": image.y_mm})


if __name__ == "__main__":
    main()
