import numpy as np
from pydantic import PositiveInt

from cytomesh.core.config import Config
from cytomesh.parcellate.method import Method, Parcellation


class StripesConfig(Config):
    """Stripes across an axis."""

    axis: PositiveInt = 1
    """0: x, 1: y, 2: z."""


class Stripes(Method):
    """Equal numbers of nodes from back to front; stripes of a folded surface may lie in pieces."""

    Config = StripesConfig
    is_connected = False
    has_borders = False

    def parcels(self, problem):
        own = problem.settings.plugins.of(StripesConfig) or StripesConfig()
        order = np.argsort(problem.features.positions[:, own.axis], kind="stable")
        labels = np.empty(len(order), np.int64)
        labels[order] = np.arange(len(order)) * problem.k // len(order)
        return Parcellation(labels)
