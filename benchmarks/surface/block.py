"""Blocks: what lies on their cut faces, and cortex near these: `python -m benchmarks.surface.block`.

Two phantom brains of which only 30 sections over 12 mm are there (configs/phantom/block.yaml), and 30 of BigBrain's
contour planes, 1 mm apart. Each is built as if the tissue ended with the sections (`cuts.ends: false`), and with its
ends as cuts. Truth of the phantom are its own surfaces; of BigBrain, the whole left hemisphere built from all planes in
the same way. Scores are those of a linear probe on 18-point profiles, in other sections of the block that it learnt
from and in the block of another brain.

Claim: no node on a cut face counts as cortex, and cortex near a cut is as thick as anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.bigbrain.prepare import coronal_plane, read_planes, region, section_a
from benchmarks.bigbrain.section_a import write_profile_features
from benchmarks.common import MissingDataError, Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.tables import read_table
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.write import write_phantom
from cytomesh.study.study import open_study
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.ends import beyond_cuts, cut_ends
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import Ends, PlaneContours

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
UNCHECKED = ["checks.min_linked=0"] + [
    f"checks.{key}=null" for key in ("max_changed_share", "max_discarded_share", "max_volume_error", "max_area_error")
]
AS_TISSUE = ["cuts.ends=false", "cuts.image_border=false", *UNCHECKED]
COARSE = ["surface.voxel_mm=0.3", "surface.edge_length_mm=0.8"]
"""The preset takes 0.2 mm voxels for these sections, and three times as long."""
OFF_CORTEX_MM = 1.0
"""Further than this from the true midsurface, a node is no cortex."""
BANDS_MM = ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, np.inf))
COLUMNS = ("nodes", "n", "thickness", "truth", "mean error", "mean |error|", "off cortex")
PLANES = slice(60, 90)


def thickness_rows(
    name: str,
    thickness: NDArray[np.float64],
    from_cut: NDArray[np.float64],
    truth: NDArray[np.float64],
    away: NDArray[np.float64],
) -> list[list[Any]]:
    """Return a row of all nodes and one a band of distances from the nearest cut, mm, negative beyond it."""
    rows = []
    bands = [("all", -np.inf, np.inf), ("beyond", -np.inf, 0.0), *((f"{a:g} to {b:g} mm", a, b) for a, b in BANDS_MM)]
    for band, low, high in bands:
        here = (from_cut >= low) & (from_cut < high)
        on = here & (away < OFF_CORTEX_MM)
        if not here.any():
            continue
        numbers = [float("nan")] * 4
        if on.any():
            error = thickness[on] - truth[on]
            numbers = [float(np.median(thickness[on])), float(np.median(truth[on]))]
            numbers += [float(error.mean()), float(np.abs(error).mean())]
        rows.append([f"{name}, {band}", int(here.sum()), *numbers, float((~on[here]).mean())])
    return rows


def phantom_rows(study: Path, graph: CortexGraph, name: str) -> tuple[list[list[Any]], dict[str, float]]:
    """Compare the nodes that count as cortex with the truth of a phantom brain."""
    truth = read_table(study / "truth" / f"sub-{graph.brain}" / f"hemi-{graph.hemisphere}_nodes.parquet")
    away, nearest = cKDTree(truth.stack(["x_mm", "y_mm", "z_mm"])).query(graph.positions)
    drawn = [s.plane.to_world[1, 2] for s in open_study(study / "study.yaml").brain(graph.brain).sections if s.contours]
    y = graph.positions[:, 1]
    from_cut = np.minimum(y - min(drawn), max(drawn) - y)
    kept = graph.is_cortex
    is_off = kept & (away >= OFF_CORTEX_MM)
    facts = {
        "share outside cortex": float((~kept).mean()),
        "share of cortex that is none": float(is_off.sum() / kept.sum()),
        "share of that annotated": float((graph.annotation[is_off] > 0).mean()) if is_off.any() else 0.0,
    }
    thickness = np.asarray(graph.nodes["thickness_mm"], np.float64)
    parts = (thickness[kept], from_cut[kept], truth["thickness_mm"][nearest][kept], away[kept])
    return thickness_rows(name, *parts), facts


def measure_phantom(folder: Path, quick: bool) -> tuple[list[list[Any]], dict[str, Any]]:
    """Make the blocks, build them both ways, and probe."""
    study = folder / "study"
    coarse = ["sections.um_per_px=100", "sections.spacing_mm=0.8"] if quick else []
    write_phantom(study, load_config(PhantomConfig, CONFIGS / "phantom" / "block.yaml", coarse))
    overrides = ["inputs.names=['features:profiles']", "n_seeds=1"]
    probe = load_config(ClassifyConfig, CONFIGS / "classify" / "linear.yaml", overrides)
    rows: list[list[Any]] = []
    facts: dict[str, Any] = {}
    for name, overrides in (("as tissue", AS_TISSUE), ("as cuts", [])):
        run = folder / name
        settings = load_config(BuildGraphConfig, CONFIGS / "build-graph" / "block.yaml", [*COARSE, *overrides])
        build_graphs(study / "study.yaml", run, settings)
        graphs = load_graphs(run)
        found, facts[name] = phantom_rows(study, graphs[0], f"phantom, {name}")
        rows += found
        write_profile_features(run)
        scores = classify_run(run, "profiles", probe)
        facts[name] |= {key: value for key, value in scores.items() if key.startswith(("macro", "n_"))}
    return rows, facts


def bigbrain_contours(bigbrain: Path) -> list[PlaneContours]:
    """Return the planes of the left hemisphere, from back to front."""
    image = section_a(bigbrain)
    result = []
    for y_mm, sides in sorted(read_planes(bigbrain).items()):
        if "L" in sides:
            plane = coronal_plane(y_mm, image.x0_mm, image.z0_mm)
            pial, white = (region(sides["L"][kind], plane) for kind in ("pial", "white"))
            result.append(PlaneContours(plane.to_world, pial, white))
    return result


def measure_bigbrain(bigbrain: Path, quick: bool) -> tuple[list[list[Any]], dict[str, Any]]:
    """Build 30 of the planes both ways, and compare with the whole hemisphere at the same places."""
    settings = SurfaceConfig(voxel_mm=0.8, edge_length_mm=1.5) if quick else SurfaceConfig()
    planes = bigbrain_contours(bigbrain)
    whole = reconstruct(planes, settings)
    tree = cKDTree(whole.midthickness.vertices)
    block = planes[PLANES]
    y = np.array([plane.to_world[1, 2] for plane in block])
    rows: list[list[Any]] = []
    facts: dict[str, Any] = {"bigbrain, cut ends found": [cut_ends(planes), cut_ends(block)]}
    ways: Sequence[tuple[str, Ends]] = (("as tissue", (False, False)), ("as cuts", cut_ends(block)))
    for name, is_cut in ways:
        built = reconstruct(block, settings, is_cut)
        points = built.midthickness.vertices
        outside = beyond_cuts(points, block, is_cut) | beyond_cuts(built.pial.vertices, block, is_cut)
        away, nearest = tree.query(points)
        from_cut = np.minimum(points[:, 1] - y.min(), y.max() - points[:, 1])
        parts = (built.thickness_mm, from_cut, whole.thickness_mm[nearest], away)
        rows += thickness_rows(f"BigBrain, {name}", *(part[~outside] for part in parts))
        is_off = ~outside & (away >= OFF_CORTEX_MM)
        facts[f"bigbrain, {name}"] = {
            "share outside cortex": float(outside.mean()),
            "share of cortex that is none": float(is_off.sum() / (~outside).sum()),
        }
    return rows, facts


def measure(options: Options) -> Result:
    """Measure both; the quick form has coarser sections and voxels."""
    with tempfile.TemporaryDirectory() as folder:
        rows, facts = measure_phantom(Path(folder), options.quick)
    try:
        more, others = measure_bigbrain(options.bigbrain(), options.quick)
        rows, facts = rows + more, facts | others
    except MissingDataError as problem:
        facts["bigbrain"] = f"skipped: {problem}"
    before, after = facts["as tissue"], facts["as cuts"]
    claim = (
        f"nodes that count as cortex and are none: {100 * before['share of cortex that is none']:.0f} % before,"
        f" {100 * after['share of cortex that is none']:.1f} % with cuts"
        f" ({100 * after['share outside cortex']:.0f} % of the nodes are out); linear probe, unseen block:"
        f" {before['macro_f1_unseen']:.3f} before, {after['macro_f1_unseen']:.3f}"
    )
    return Result("Blocks: thickness by distance from a cut, mm", COLUMNS, rows, claim, facts)


if __name__ == "__main__":
    main(measure, __doc__)
