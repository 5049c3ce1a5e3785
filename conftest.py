"""Examples in docstrings run beside the small study and run of the suite, `study/` and `run/`, where they read them."""

from __future__ import annotations

import re

import pytest


@pytest.fixture(autouse=True)
def _beside_study_and_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    example = getattr(request.node, "dtest", None)
    if example is None or not re.search(r'>>>.*"(study|run)[/"]', example.docstring):
        return
    from tests.conftest import shared_folder
    from tests.provenance_chain import shared_chain

    folder = shared_folder(request.getfixturevalue("tmp_path_factory"))
    shared_chain(folder)
    monkeypatch.chdir(folder)
