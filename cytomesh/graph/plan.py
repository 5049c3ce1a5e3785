"""What `build-graph` would do (`--dry-run`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cytomesh.core.digests import DIGESTS, FileDigests
from cytomesh.core.outlook import outlook
from cytomesh.core.run import product
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.provenance import graph_inputs
from cytomesh.study.study import open_study


def plan_graphs(manifest: Path, run: Path, settings: BuildGraphConfig, *, resume: bool = True) -> dict[str, Any]:
    """Return per graph whether it would be built, from how many sections, and what its surfaces come from.

    Files are looked at, and nothing is written.

    Raises
    ------
    StudyError
        If the manifest cannot be used.
    """
    study = open_study(manifest)
    digests = FileDigests(run / DIGESTS, writes=False)
    plan: dict[str, Any] = {}
    for brain in study.brains:
        usable = [section for section in brain.sections if section.status == "ok"]
        for hemisphere in brain.hemispheres:
            graph = product(run, "graphs", f"{brain.id}_hemi-{hemisphere}")
            inputs = graph_inputs(run, study, brain, hemisphere, settings, digests)
            plan[graph.folder.name] = {
                "would_be": outlook(graph, inputs, resume=resume),
                "surfaces_from": "the study" if hemisphere in brain.surfaces else "contours",
                "sections": len(usable),
                "with_contours": sum(section.contours is not None for section in usable),
                "with_image": sum(section.image is not None for section in usable),
                "with_annotation": sum(section.annotation is not None for section in usable),
            }
    return plan
