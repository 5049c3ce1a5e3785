"""A small study on disk, complete and without fault; tests break it in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon, box

from cytomesh.core.labels import LabelTable
from cytomesh.study.atlas import write_labels, write_probability_maps
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections

WIDTH, HEIGHT, UM = 80, 60, 100.0
AREAS = ("V1", "V2", "M1")


@dataclass(frozen=True)
class StudyFolder:
    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "study.yaml"

    @property
    def table(self) -> Path:
        return self.folder / "sub-B01" / "sections.tsv"

    def image(self, index: int) -> Path:
        return self.folder / "sub-B01" / f"section{index}.png"

    def contours(self, index: int) -> Path:
        return self.folder / "sub-B01" / f"section{index}.geojson"

    def change(self, **keys: object) -> None:
        """Replace top-level keys of the manifest."""
        data = yaml.safe_load(self.manifest.read_text())
        self.manifest.write_text(yaml.safe_dump(data | keys))

    def change_table(self, old: str, new: str) -> None:
        text = self.table.read_text()
        assert old in text
        self.table.write_text(text.replace(old, new, 1))


def coronal(y_mm: float) -> SectionPlane:
    """A coronal plane with 0.1 mm pixels: column to the right, row downwards."""
    return SectionPlane(np.array([[0.1, 0, -4.0], [0, 0, y_mm], [0, -0.1, 3.0]]))


def square_contours(pial: Polygon | None = None, white: Polygon | None = None) -> SectionContours:
    rings = HemisphereContours(
        MultiPolygon([pial or box(10, 10, 70, 50)]), MultiPolygon([white or box(20, 20, 60, 40)])
    )
    return SectionContours({"L": rings})


@pytest.fixture
def study_folder(tmp_path: Path) -> StudyFolder:
    """Brain B01 with sections 1-4, of which 3 is missing; 2 is annotated."""
    study = StudyFolder(tmp_path / "study")
    sections = []
    rng = np.random.default_rng(0)
    study.table.parent.mkdir(parents=True)
    for index in (1, 2, 3, 4):
        status = "missing" if index == 3 else "ok"
        annotation = study.table.parent / "areas2.png" if index == 2 else None
        if status == "ok":
            Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)).save(study.image(index))
            write_contours(study.contours(index), square_contours())
        is_there = status == "ok"
        sections.append(
            Section(
                brain="B01",
                index=index,
                image=study.image(index) if is_there else None,
                um_per_px=UM,
                plane=coronal(0.5 * index),
                contours=study.contours(index) if is_there else None,
                annotation=annotation,
                role="train" if index == 2 else "none",
                status=status,
            )
        )
    areas = np.zeros((HEIGHT, WIDTH), np.uint8)
    areas[10:50, 10:40], areas[10:50, 40:70] = 1, 2
    Image.fromarray(areas).save(study.table.parent / "areas2.png")
    write_sections(study.table, sections)
    write_labels(study.folder / "atlas" / "labels.tsv", LabelTable.from_names(AREAS))
    maps = np.zeros((11, 11, 11, 3), np.float32)
    maps[..., 0], maps[5:, ..., 1] = 0.25, 0.75
    write_probability_maps(
        study.folder / "atlas" / "pmaps.nii.gz", maps, affine=np.diag([1.0, 1, 1, 1]) - 5 * _origin()
    )
    study.manifest.write_text(
        yaml.safe_dump(
            {
                "name": "small",
                "species": "Homo sapiens",
                "stain": "Nissl",
                "space": {"name": "MNI"},
                "atlas": {"labels": "atlas/labels.tsv", "probability_maps": "atlas/pmaps.nii.gz", "space": "MNI"},
                "brains": [{"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sub-B01/sections.tsv"}],
            }
        )
    )
    return study


def _origin() -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = 1
    return matrix
