"""How far grey values alone get: areas from mean grey and from 18-point intensity profiles, along the true cortex.

A phantom whose areas mean grey gives away would be no test of texture; one that profiles solve, none of learning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cytomesh.core.errors import MissingStageError
from cytomesh.core.tables import read_table
from cytomesh.imaging.pyramid import open_image
from cytomesh.phantom.brain import sample_label
from cytomesh.phantom.section import truth_path
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain, open_study
from cytomesh.surface.gifti import read_surface

N_POINTS = 18
WITHIN_MM = 0.5
"""Nodes whose midpoint is this near a section plane are seen in it."""
SHRINKAGE = 0.05
ACROSS_MM = np.linspace(-0.4, 0.4, 7)
"""A profile is the mean along parallel lines: one pixel's cells are no profile."""


def phantom_baselines(study_dir: Path) -> dict[str, dict[str, float]]:
    """Score shrinkage LDA with balanced priors, trained on the train sections of the training brains.

    Returns
    -------
    dict
        `mean_grey` and `profile`, each with the macro-F1 over areas on `seen` (test sections of training brains),
        `transfer` and `unseen` brains, as far as the study has them; `chance`: one over the number of areas.

    Raises
    ------
    MissingStageError
        If the folder is no phantom study.
    """
    if not (study_dir / "truth").is_dir():
        raise MissingStageError(study_dir, found="no truth", hint=f"run 'cytomesh phantom --out {study_dir}' first")
    study = open_study(study_dir / "study.yaml")
    parts: dict[str, list[tuple[NDArray[np.float64], NDArray[np.int32]]]] = {}
    for brain in study.brains:
        for section, profiles, areas in sampled(study_dir, brain):
            part = {"train": {"train": "train", "test": "seen"}.get(section.role)}.get(brain.role, brain.role)
            if part:
                parts.setdefault(part, []).append((profiles, areas))
    data = {
        part: (np.concatenate([p for p, _ in rows]), np.concatenate([a for _, a in rows]))
        for part, rows in parts.items()
    }
    features = {
        "mean_grey": {part: (profiles.mean(axis=1, keepdims=True), areas) for part, (profiles, areas) in data.items()},
        "profile": data,
    }
    scores = {name: _scores(sets) for name, sets in features.items()}
    n_areas = len(np.unique(data["train"][1]))
    return scores | {"chance": dict.fromkeys(scores["profile"], 1 / n_areas)}


def sampled(study_dir: Path, brain: Brain) -> Iterator[tuple[Section, NDArray[np.float64], NDArray[np.int32]]]:
    """Yield each section with the profiles (n, 18), pial first, and areas (n,) of the labelled true nodes in it."""
    side = brain.hemispheres[0]
    folder = study_dir / "truth" / f"sub-{brain.id}"
    pial = read_surface(folder / f"hemi-{side}_pial.surf.gii").vertices
    white = read_surface(folder / f"hemi-{side}_white.surf.gii").vertices
    areas = read_table(folder / f"hemi-{side}_nodes.parquet")["area"]
    for section in brain.sections:
        if section.image is None:
            continue
        plane = true_plane(study_dir, section)
        seen = (np.abs(plane.distance(0.5 * (pial + white))) < WITHIN_MM) & (areas > 0)
        ends = plane.pixels(pial[seen]), plane.pixels(white[seen])
        yield section, _profiles(section.image, *ends, 1e-3 * section.um_per_px), areas[seen].astype(np.int32)


def true_plane(study_dir: Path, section: Section) -> SectionPlane:
    """Return where a section was really cut."""
    with np.load(truth_path(study_dir, section.brain, sample_label(section.index)), allow_pickle=False) as truth:
        matrix, step = truth["to_world"], int(truth["step"])
    matrix[:, :2] /= step
    matrix[:, 2] -= (step // 2) * (matrix[:, 0] + matrix[:, 1])
    return SectionPlane(matrix)


def _profiles(
    image: Path, start: NDArray[np.float64], end: NDArray[np.float64], mm_per_px: float
) -> NDArray[np.float64]:
    """Sample (n, 18) grey values at the middles of 18 equal steps from start to end, (n, 2) (column, row)."""
    with open_image(image) as pyramid:
        height, width = pyramid.shape
        grey = pyramid.read(0, 0, height, 0, width)[..., 0].astype(np.float32)
    share = (np.arange(N_POINTS) + 0.5)[None, :, None] / N_POINTS
    along = end - start
    across = along[:, ::-1] * (1, -1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6) / mm_per_px
    total = np.zeros((len(start), N_POINTS))
    for offset in ACROSS_MM:
        points = (start + offset * across)[:, None] + share * along[:, None]
        values = map_coordinates(grey, points[..., ::-1].reshape(-1, 2).T, order=1, mode="nearest")
        total += values.reshape(-1, N_POINTS)
    return total / len(ACROSS_MM)


def _scores(sets: dict[str, tuple[NDArray[np.float64], NDArray[np.int32]]]) -> dict[str, float]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import f1_score

    features, areas = sets["train"]
    names = np.unique(areas)
    priors = np.full(len(names), 1 / len(names))
    model: Any = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE, priors=priors).fit(features, areas)
    return {
        part: float(f1_score(areas, model.predict(features), labels=np.unique(areas), average="macro", zero_division=0))
        for part, (features, areas) in sets.items()
        if part != "train"
    }
