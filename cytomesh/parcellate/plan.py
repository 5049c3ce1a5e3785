"""What `parcellate` would do (`--dry-run`)."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

from cytomesh.core.digests import DIGESTS, FileDigests
from cytomesh.core.outlook import outlook
from cytomesh.core.provenance import Inputs
from cytomesh.core.run import product
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.storage import load_graphs
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.joint import group_graphs
from cytomesh.parcellate.run import find_encoder, parcellate_inputs


def plan_parcellate(
    run: Path, name: str, settings: ParcellateConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Return whether parcels would be made, of what, and how; nothing is written.

    Raises
    ------
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    """
    encoder = find_encoder(run, settings.encoder)
    graphs = load_graphs(run)
    result = product(run, "parcellate", name)
    digests = FileDigests(run / DIGESTS, writes=False)
    groups = group_graphs(graphs, settings.joint)
    inputs = reduce(Inputs.merge, (parcellate_inputs(run, group, encoder, settings, digests) for group in groups))
    Freshness(run, digests).check(inputs, allow_stale=allow_stale)
    return {
        "result": result.place,
        "would_be": outlook(result, inputs, resume=resume),
        "methods": settings.method or ", ".join(settings.methods),
        "features": encoder,
        "graphs": len(graphs),
        "groups": len(groups),
        "nodes": sum(graph.n_nodes for graph in graphs),
        "nodes_with_image": sum(int(graph.is_linked.sum()) for graph in graphs),
    }
