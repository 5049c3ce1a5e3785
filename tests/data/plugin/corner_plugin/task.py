from typing import ClassVar

import numpy as np
from pydantic import PositiveInt

from cytomesh.analyze.evaluate.task import Outcome, Score, Task, TaskConfig


class LikenessConfig(TaskConfig):
    """Correlation of the features of nodes along the list of them."""

    apart: PositiveInt = 1
    """Rows from one node to the other."""


class Likeness(Task):
    """How alike nodes are whose rows follow each other."""

    Config = LikenessConfig
    protocol = ()
    measures: ClassVar = {"correlation": "correlation"}

    def score(self, bench, encoded):
        features = encoded.features[bench.is_linked].astype(np.float64)
        pairs = zip(features[: -self.settings.apart], features[self.settings.apart :], strict=True)
        found = [np.corrcoef(one, other)[0, 1] for one, other in pairs]
        return Outcome([Score("nodes", "all", "correlation", float(np.mean(found)))])
