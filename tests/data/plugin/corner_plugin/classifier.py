from typing import Literal

from pydantic import Field
from sklearn.naive_bayes import GaussianNB

from cytomesh.classify.classifier import EstimatorClassifier, ModelConfig


class NaiveBayesConfig(ModelConfig):
    """Gaussian naive Bayes."""

    kind: Literal["naive_bayes"]
    smoothing: float = Field(default=1e-3, gt=0)
    """Share of the largest variance that is added to all."""


class NaiveBayes(EstimatorClassifier):
    """Areas by independent Gaussians."""

    Config = NaiveBayesConfig
    learnt = ("theta_", "var_", "class_prior_")

    def make(self, seed):
        return GaussianNB(var_smoothing=self.settings.smoothing)
