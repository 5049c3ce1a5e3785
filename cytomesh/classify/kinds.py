"""The models, graph layers and losses that settings can name; other packages add theirs (see `Registry`)."""

from __future__ import annotations

from typing import Annotated

from cytomesh.classify.classifier import Classifier, ModelConfig
from cytomesh.classify.graph_layer import GraphLayer
from cytomesh.classify.losses import Loss, LossConfig
from cytomesh.core.registry import OneOf, Registry

CLASSIFIERS: Registry[Classifier] = Registry(
    "cytomesh.classifiers",
    Classifier,
    {
        "logistic": "cytomesh.classify.linear:LogisticClassifier",
        "lda": "cytomesh.classify.linear:LdaClassifier",
        "knn": "cytomesh.classify.neighbours:KnnClassifier",
        "label_propagation": "cytomesh.classify.neighbours:PropagationClassifier",
        "mlp": "cytomesh.classify.training:NeuralClassifier",
    },
)
LAYERS: Registry[GraphLayer] = Registry(
    "cytomesh.graph_layers",
    GraphLayer,
    {
        "gcn": "cytomesh.classify.layers:GraphConvolution",
        "sage": "cytomesh.classify.layers:MeanConvolution",
        "gat": "cytomesh.classify.layers:Attention",
        "gatv2": "cytomesh.classify.layers:AttentionV2",
    },
)
"""A layer's settings are those of a network of such layers."""
LOSSES: Registry[Loss] = Registry(
    "cytomesh.losses",
    Loss,
    {
        "cross_entropy": "cytomesh.classify.losses:CrossEntropy",
        "focal": "cytomesh.classify.losses:Focal",
        "logit_adjustment": "cytomesh.classify.losses:LogitAdjustment",
    },
)
LossSettings = Annotated[LossConfig, OneOf(LOSSES)]
Model = Annotated[ModelConfig, OneOf(CLASSIFIERS, LAYERS)]


def classifier_kind(settings: ModelConfig) -> type[Classifier]:
    """Return the model that settings are of; that of a graph layer is a network."""
    return CLASSIFIERS["mlp" if settings.kind in LAYERS else settings.kind]
