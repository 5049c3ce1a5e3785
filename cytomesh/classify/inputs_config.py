"""Settings of what a model sees of each node."""

from __future__ import annotations

import difflib
from typing import Literal

from pydantic import Field, field_validator

from cytomesh.core.config import Config

MORPHOLOGY = {
    "thickness": "thickness_mm",
    "curvature": "curvature_per_mm",
    "obliqueness": "obliqueness_deg",
    "distance": "distance_mm",
}
"""Input name -> column of the node table."""

KNOWN_INPUTS = ("features", "features:<encoder>", "pmap", "coordinates", *MORPHOLOGY)


def ascending(hops: list[int], least: int) -> list[int]:
    """Refuse hops out of order, for validators."""
    if hops != sorted(set(hops)) or min(hops, default=least) < least:
        raise ValueError(f"hops must be ascending, {least} or more")
    return hops


class InputsConfig(Config):
    """What a model sees of each node."""

    names: list[str] = Field(default=["features"], min_length=1)
    """Any mix of `features` (the run's only encoder), `features:<encoder>`, `pmap`, `coordinates`, `thickness`,
    `curvature`, `obliqueness`, `distance`."""
    hops: list[int] = Field(default=[0], min_length=1)
    """Neighbourhood sizes whose means stand side by side; 0 is the node itself. Not applied to `pmap` and
    `coordinates`, which are smooth as they are."""
    neighbourhood: Literal["walk", "disc"] = "walk"
    """`walk`: the mean over a node and its neighbours, applied h times (bell-shaped, stays within nodes that have the
    input); `disc`: the plain mean over all nodes at most h edges away."""
    standardise: Literal["training", "graph"] = "training"
    """Mean and SD of the training nodes for all graphs, or of each graph's own nodes (takes staining differences
    between brains out; uses no labels)."""
    clip_sd: float = Field(default=5.0, gt=0)
    """Standardised inputs are clipped at this many SD."""
    memory_gib: float = Field(default=4.0, ge=0)
    """Inputs of all graphs that are larger than this together (in single precision) stay on disk and are made ready
    part by part, with the same values; neighbourhood means and filled-in rows are written beside the results meanwhile.
    For networks with `training.part_nodes`, and LDA."""

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name in ("features", "pmap", "coordinates", *MORPHOLOGY) or name.removeprefix("features:") not in (
                name,
                "",
            ):
                continue
            near = difflib.get_close_matches(name, KNOWN_INPUTS, n=1)
            way_out = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(KNOWN_INPUTS)}"
            raise ValueError(f"unknown input '{name}', {way_out}")
        if len(set(names)) != len(names):
            raise ValueError("an input is listed twice")
        return names

    @field_validator("hops")
    @classmethod
    def _ordered(cls, hops: list[int]) -> list[int]:
        return ascending(hops, least=0)
