"""The self-test of `cytomesh doctor`; that it maps a brain is seen in `test_wheel`."""

import sys

import pytest

from cytomesh import self_test as module
from cytomesh.phantom.geometry import template
from cytomesh.self_test import self_test


def test_without_the_extra_it_does_not_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    monkeypatch.setattr("cytomesh.phantom.write.template", template.__wrapped__)  # not what another test had made
    found = self_test(tmp_path)
    assert found.level == "note" and "nilearn is not installed" in found.found
    assert "cytomesh[phantom]" in found.advice
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cytomesh.phantom.write", "cytomesh.graph.build"])
def test_what_cannot_be_imported_is_a_problem(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    found = self_test(tmp_path)
    assert found.level == "problem" and name in found.found and found.advice


def test_a_score_that_is_too_low_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAST_F1", 1.0)
    monkeypatch.setattr("cytomesh.phantom.write.write_phantom", lambda *_, **__: None)
    monkeypatch.setattr("cytomesh.graph.build.build_graphs", lambda *_, **__: {"g": {"n_nodes": 4}})
    monkeypatch.setattr("cytomesh.analyze.profiles.profiles_run", lambda *_, **__: None)
    monkeypatch.setattr("cytomesh.classify.run.classify_run", lambda *_, **__: {"macro_f1_seen": 0.9})
    assert self_test(tmp_path).level == "problem"
