"""The tasks that a protocol can name; other packages add theirs (see `Registry`)."""

from __future__ import annotations

from typing import Annotated, Any

from cytomesh.analyze.evaluate.task import Task
from cytomesh.core.registry import EachOf, Registry, Sections

PLACE = "cytomesh.analyze.evaluate"
TASKS: Registry[Task] = Registry(
    "cytomesh.evaluation_tasks",
    Task,
    {
        "areas": f"{PLACE}.areas:Areas",
        "few_shot": f"{PLACE}.few_shot:FewShot",
        "layers": f"{PLACE}.layers:Segmentation",
        "variation": f"{PLACE}.structure:Structure",
        "labels": f"{PLACE}.labels:Parcellations",
        "probes": f"{PLACE}.probes:Probes",
        "rejection": f"{PLACE}.rejection:Rejection",
        "planes": f"{PLACE}.planes:Planes",
    },
)
_EACH = EachOf(TASKS, __name__, "TasksConfig")
Tasks = Annotated[Sections, _EACH]
"""The tasks, each with its settings; at least one."""


def tasks_of(**sections: Any) -> Sections:
    """Return settings with these tasks."""
    return _EACH.model.model_validate(sections)


__getattr__ = _EACH.attribute
