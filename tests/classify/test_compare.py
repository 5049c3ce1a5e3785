import shutil

import numpy as np
import pytest

from cytomesh.classify.compare import compare_runs
from cytomesh.classify.config import ClassifyConfig, PredictConfig
from cytomesh.classify.predict import predict_run
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError, MissingStageError


def test_paired_differences(section_run):
    for name, inputs in (("weak", "[curvature]"), ("strong", "[features]")):
        overrides = ["model={kind: lda}", f"inputs.names={inputs}"]
        summary = classify_run(section_run, name, load_config(ClassifyConfig, None, overrides))
    result = compare_runs(section_run, ["weak", "strong", "weak"])
    assert list(result) == ["seen", "transfer", "unseen"]
    unseen = result["unseen"]
    assert unseen["strong"]["macro_f1"] == pytest.approx(summary["macro_f1_unseen"])
    difference = unseen["strong"]["macro_f1"] - unseen["weak"]["macro_f1"]
    assert unseen["strong"]["difference"] == pytest.approx(difference)
    assert 0 < unseen["strong"]["low"] < difference < unseen["strong"]["high"]


def test_the_same_result_differs_by_nothing(section_run):
    settings = load_config(ClassifyConfig, None, ["model={kind: lda}"])
    for name in ("one", "two"):
        classify_run(section_run, name, settings)
    two = compare_runs(section_run, ["one", "two"])["seen"]["two"]
    np.testing.assert_array_equal([two["difference"], two["low"], two["high"]], 0)


def test_a_name_that_is_not_there(section_run):
    with pytest.raises(MissingStageError, match="no predictions"):
        compare_runs(section_run, ["nothing"])


def test_predictions_of_a_trained_classifier_have_no_sides(section_run, tmp_path):
    classify_run(section_run, "lda", load_config(ClassifyConfig, None, ["model={kind: lda}"]))
    for part in ("graphs", "features"):
        shutil.copytree(section_run / part, tmp_path / part)
    predict_run(tmp_path, section_run / "classify" / "lda", "predicted", PredictConfig(outlines=False))
    with pytest.raises(ConfigError, match="predicted/predictions/.*found areas that 'classify-predict' predicted"):
        compare_runs(tmp_path, ["predicted", "predicted"])
