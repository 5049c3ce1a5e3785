"""Any of the classifiers as an estimator on arrays, without a run directory."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from cytomesh.classify.assemble import class_targets
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.inputs import InputsConfig, moments
from cytomesh.classify.models import fit_classifier
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import StoredInput
from cytomesh.classify.splits import TRAIN, VALIDATION
from cytomesh.core.config import validate
from cytomesh.core.errors import ConfigError, FeatureError
from cytomesh.core.labels import whole_labels
from cytomesh.graph.neighbourhoods import Floats, Mask, impute


class AreaClassifier:
    """Names areas: fit on labelled nodes, then predict on nodes of the same or of other meshes.

    Inputs are standardised by mean and SD of the training nodes and clipped at 5 SD, as `cytomesh classify` does.

    Parameters
    ----------
    kind : str
        See `ClassifyConfig.model`.
    training : dict, optional
        Settings of `TrainingConfig`, for networks.
    seed : int
    device : str
        "cpu", "cuda" or "cuda:1".
    **settings
        Further settings of the model, such as `hidden=32`.

    Attributes
    ----------
    classes_ : (k,) int32
        Labels of the areas that were learnt, ascending.
    curve_ : list of dict
        One record per epoch, for networks.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> labels = np.repeat([3, 5], 50)
    >>> inputs = random.normal(size=(100, 4)) + (labels == 5)[:, None] * 3
    >>> classifier = AreaClassifier("lda").fit(inputs, labels)
    >>> float((classifier.predict(inputs) == labels).mean()) > 0.95
    True
    """

    def __init__(
        self,
        kind: str = "lda",
        *,
        training: dict[str, Any] | None = None,
        seed: int = 0,
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        given = {"model": {"kind": kind, **settings}, "training": training or {}, "seed": seed}
        self.settings = validate(ClassifyConfig, given, "AreaClassifier", ConfigError)
        if self.settings.one_model.edge_attributes:
            hint = "cytomesh classify has them from the graphs of a run"
            raise ConfigError("AreaClassifier", "edges", found="attributes of mesh edges", expected="none", hint=hint)
        self.device = _device(device)

    def fit(
        self,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        adjacency: sp.csr_matrix | None = None,
        validation: Mask | None = None,
    ) -> Self:
        """Learn from nodes with a label.

        Parameters
        ----------
        inputs : (n, d) float
            Rows with NaN, as at the medial wall, are filled in from around them, for which `adjacency` is needed.
        labels : (n,) int
            0 for none. Graph networks see the inputs of these nodes as well.
        adjacency : (n, n) CSR, optional
            Mesh edges, as of `CortexGraph.adjacency`; several meshes block by block (`scipy.sparse.block_diag`).
            Without it, graph models see single nodes.
        validation : (n,) bool, optional
            Nodes whose labels decide when training stops, and are not learnt from.

        Raises
        ------
        FeatureError
            If inputs, labels and the others are not one row per node, inputs are infinite, or the adjacency is not
            symmetric.
        AtlasError
            If labels are no whole numbers.
        SplitError
            If there are fewer than two areas.
        """
        inputs, areas = _inputs(inputs, adjacency), whole_labels(labels)
        n = len(inputs)
        held_out = np.zeros(n, bool) if validation is None else np.asarray(validation)
        for name, values in (("labels", areas), ("validation", held_out)):
            if values.shape != (n,):
                raise FeatureError("AreaClassifier", name, found=f"shape {values.shape}", expected=f"({n},)")
        if held_out.dtype != bool:
            hint = "give a mask: True at nodes that are held out"
            raise FeatureError("AreaClassifier", "validation", found=str(held_out.dtype), expected="bool", hint=hint)
        is_train = (areas > 0) & ~held_out
        self.classes_, targets = class_targets(areas, is_train)
        sides = np.where(is_train, TRAIN, np.where(held_out & (targets >= 0), VALIDATION, ""))
        is_known = is_train & np.isfinite(inputs).all(axis=1)
        if not is_known.any():
            hint = "leave out columns that are NaN at every node, and rows of the medial wall"
            raise FeatureError("AreaClassifier", "inputs", found="NaN at every labelled node", hint=hint)
        self._scaling = moments([StoredInput(inputs)], [is_known], "inputs")
        data = self._data(inputs, targets, sides, adjacency)
        self._model, self.curve_ = fit_classifier(self.settings, data, self.settings.seed, self.device)
        return self

    def predict_proba(self, inputs: NDArray[Any], adjacency: sp.csr_matrix | None = None) -> Floats:
        """Return the probability of each area of `classes_` at each node, (n, k) float32."""
        if not hasattr(self, "_model"):
            raise FeatureError("AreaClassifier", found="a classifier that has learnt nothing", hint="call fit first")
        inputs, d = _inputs(inputs, adjacency), self._scaling.shape[1]
        if inputs.shape[1] != d:
            found = f"{inputs.shape[1]} columns"
            raise FeatureError("AreaClassifier", "inputs", found=found, expected=f"the {d} that it was fitted with")
        n = len(inputs)
        return self._model.probabilities(self._data(inputs, np.full(n, -1), np.full(n, ""), adjacency))

    def predict(self, inputs: NDArray[Any], adjacency: sp.csr_matrix | None = None) -> NDArray[np.int32]:
        """Return the label of the most probable area at each node, (n,) int32."""
        best = self.predict_proba(inputs, adjacency).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _data(
        self, inputs: NDArray[Any], targets: NDArray[np.int64], sides: NDArray[np.str_], adjacency: sp.csr_matrix | None
    ) -> NodeData:
        n = len(targets)
        if adjacency is None:
            adjacency = sp.csr_matrix((n, n))
        if adjacency.shape != (n, n):
            found, expected = f"{adjacency.shape[0]} x {adjacency.shape[1]}", f"{n} x {n}, as many as inputs"
            raise FeatureError("AreaClassifier", "adjacency", found=found, expected=expected)
        edges = sp.csr_matrix(adjacency) != 0
        if (edges != edges.T).nnz:
            found, hint = "edges in one direction only", "adjacency + adjacency.T has both"
            raise FeatureError("AreaClassifier", "adjacency", found=found, expected="a symmetric matrix", hint=hint)
        adjacency = edges.astype(np.float64)
        ready = StoredInput(inputs, self._scaling, InputsConfig().clip_sd).rows(np.arange(n))
        if np.isnan(ready).any():
            ready, _ = impute(ready, adjacency)
        sizes, positions = np.array([n], np.int64), np.zeros((n, 3), np.float32)
        return NodeData(ready, targets, sides, adjacency, sizes, self.classes_, positions)


def _inputs(inputs: NDArray[Any], adjacency: sp.csr_matrix | None) -> Floats:
    values = np.asarray(inputs, np.float32)
    if values.ndim != 2 or not values.shape[1]:
        raise FeatureError("AreaClassifier", "inputs", found=f"shape {values.shape}", expected="(n, d)")
    if np.isinf(values).any():
        raise FeatureError("AreaClassifier", "inputs", found="infinite values", expected="finite ones, or NaN")
    if adjacency is None and np.isnan(values).any():
        hint = "give the adjacency of the mesh, by which they are filled in, or leave these nodes out"
        raise FeatureError("AreaClassifier", "inputs", found="NaN", expected="finite values", hint=hint)
    return values


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as cause:
        raise ConfigError("AreaClassifier", "device", found=repr(name), expected="cpu, cuda or cuda:1") from cause
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} CUDA devices"
        raise ConfigError("AreaClassifier", f"device {name}", found=found, hint="device='cpu' needs none")
    return device
