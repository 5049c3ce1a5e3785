"""Staining profiles of nodes, from pial to white, as features: what any encoder has to be better than."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cytomesh.core.config import Config, Seed
from cytomesh.core.digests import file_digests
from cytomesh.core.errors import ConfigError
from cytomesh.core.progress import log, track
from cytomesh.core.provenance import Inputs, flat_settings, said
from cytomesh.core.reading import PROFILES
from cytomesh.core.run import check_name, lock, product_folders
from cytomesh.graph.features import feature_changes, keep_features
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.locate import depth_of_share
from cytomesh.graph.provenance import MEASURES, SURFACE, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs, load_surface
from cytomesh.imaging.normalise import open_run_study
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import Pyramid, open_section
from cytomesh.pretrain.patches import images_of
from cytomesh.pretrain.pool import SectionPatches, graph_sections
from cytomesh.study.pixels import BT601

MAX_REACH_MM = 6.0
"""No profile reaches further from its node: cortex that is cut lengthwise would have no end."""
MAX_OBLIQUENESS_DEG = 60.0
"""Where the section is more oblique, profiles are as long as at this angle."""
BATCH, BATCH_PX = 128, 2**25
"""Nodes that are read together: so many, or fewer whose patches have so many pixels together."""


class ProfilesConfig(Config):
    """Settings of `cytomesh profiles`."""

    presets: ClassVar[str] = "profiles"
    depths: int = Field(default=18, ge=2, le=200)
    """Samples of a profile, at equal shares of the cortex's volume from pial to white."""
    um_per_px: float = Field(default=50.0, gt=0, le=500)
    """Pixel size at which images are read; coarser ones would leave a few pixels of cortex."""
    width_mm: float = Field(default=0.5, gt=0, le=5)
    """Grey levels are averaged over this width along the cortex."""
    seed: Seed = 0
    """Recorded only: nothing here is random."""


def profiles_run(
    run: Path, name: str, settings: ProfilesConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Sample the staining profile of every linked node of a run; writes `features/<name>`.

    Returns
    -------
    dict
        Number of graphs, profiles and samples of each, and seconds.

    Raises
    ------
    ConfigError
        If the name is that of an encoder.
    MissingStageError
        If the run has no graphs, or they have no images.
    StaleError
        If a graph is stale, unless `allow_stale`.
    """
    began = time.perf_counter()
    study, graphs = open_run_study(run), load_graphs(run)
    if name in [folder.name for folder in product_folders(run, "encoders")]:
        raise ConfigError(
            "--name", name, found="an encoder of this name", hint="its features are there: choose another"
        )
    with lock(run, f"features/{check_name(name)}"), file_digests(run) as digests:
        freshness = Freshness(run, digests)
        for graph in graphs:
            start = time.perf_counter()
            inputs = Inputs(flat_settings(settings, exclude={"seed"})).merge(images_of(run, study, [graph], digests))
            inputs = inputs.merge(parts_read(run, [graph], (SURFACE, MEASURES), digests))
            freshness.check(inputs, allow_stale=allow_stale)
            reasons = feature_changes(run, name, graph.name, inputs, digests) if resume else ["--no-resume"]
            if not reasons:
                continue
            if (run / "features" / name / f"{graph.name}.npy").is_file():
                log(f"{name}: profiles of {graph.name} sampled again: {said(reasons)}")
            reach, depths = profile_extent(run, graph), profile_depths(run, graph, settings.depths)
            profiles = np.full((graph.n_nodes, settings.depths), np.nan, np.float32)
            parts = graph_sections(study, graph)
            for part in track(parts, f"profiles of {graph.name}", unit="sections"):
                rows = part.rows
                with open_section(part.section) as image:
                    profiles[rows] = section_profiles(image, part, reach[rows], depths[rows], settings)
            facts = {"kind": PROFILES, "um_per_px": settings.um_per_px}
            took = round(time.perf_counter() - start, 3)
            keep_features(run, name, graph, profiles, facts, inputs, settings.seed, took)
    linked = sum(int(graph.is_linked.sum()) for graph in graphs)
    seconds = round(time.perf_counter() - began, 2)
    return {"features": name, "graphs": len(graphs), "profiles": linked, "depths": settings.depths, "seconds": seconds}


def profile_extent(run: Path, graph: CortexGraph) -> NDArray[np.float64]:
    """Return how far the cortex reaches in the section from each node to pial and to white, (n, 2) mm.

    Within a section that the normal of the cortex meets at an angle o (`obliqueness_deg`), cortex of thickness d is
    d / cos(o) wide.
    """
    oblique = np.nan_to_num(np.asarray(graph.nodes["obliqueness_deg"], np.float64))
    cosine = np.cos(np.deg2rad(np.minimum(oblique, MAX_OBLIQUENESS_DEG)))
    away = [
        np.linalg.norm(load_surface(run, graph.name, kind).vertices - graph.mesh.vertices, axis=1) / cosine
        for kind in ("pial", "white")
    ]
    return np.minimum(np.stack(away, axis=1), MAX_REACH_MM)


def profile_depths(run: Path, graph: CortexGraph, count: int) -> NDArray[np.float64]:
    """Return the depths at equal shares of each node's column of cortex, (n, count), 0 at pial and 1 at white."""
    pial, white = (load_surface(run, graph.name, kind).vertex_areas[:, None] for kind in ("pial", "white"))
    return depth_of_share(pial, white, np.linspace(0.0, 1.0, count)[None])


def section_profiles(
    image: Pyramid,
    part: SectionPatches,
    reach_mm: NDArray[np.float64],
    depths: NDArray[np.float64],
    settings: ProfilesConfig,
) -> NDArray[np.float32]:
    """Sample the profiles of one section's nodes; of colours, the luminance.

    Parameters
    ----------
    image : Pyramid
    part : SectionPatches
        n nodes: pixels and direction of the pial side.
    reach_mm : (n, 2) float64
        From the node to pial and to white, in the section.
    depths : (n, d) float64
        0 at pial, 0.5 at the node, 1 at white.

    Returns
    -------
    (n, d) float32
        Grey levels.
    """
    um = settings.um_per_px
    side = 2 * int(np.ceil(1e3 * max(reach_mm.max(), 0.5 * settings.width_mm) / um)) + 3
    # rows of a patch from its centre, up positive: pial at +reach, node at 0, white at -reach
    up_mm = np.where(depths < 0.5, (1 - 2 * depths) * reach_mm[:, :1], (1 - 2 * depths) * reach_mm[:, 1:])
    row = 0.5 * (side - 1) - 1e3 * up_mm / um
    beside = np.abs(np.arange(side) - 0.5 * (side - 1)) * um <= 500 * settings.width_mm
    beside |= np.abs(np.arange(side) - 0.5 * (side - 1)) < 0.75  # at least the middle

    def batches() -> Iterator[NDArray[np.float32]]:
        n = max(1, min(BATCH, BATCH_PX // side**2))
        for start in range(0, len(part.rows), n):
            some = slice(start, start + n)
            patches = read_patches(image, part.section.um_per_px, part.pixels[some], part.angles_deg[some], side, um)
            column = patches[..., beside].mean(axis=-1, dtype=np.float32)  # (n, c, side)
            grey = column[:, 0] if column.shape[1] == 1 else np.einsum("ncs,c->ns", column, np.array(BT601, np.float32))
            low = np.floor(row[some]).astype(np.int64)
            share = (row[some] - low).astype(np.float32)
            above, below = (np.take_along_axis(grey, low + step, axis=1) for step in (0, 1))
            yield above + share * (below - above)

    return np.concatenate(list(batches()))
