"""A self-test of about a minute: one small brain of the built-in study through the stages that need no encoder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cytomesh.core.doctor import Finding, nearest_folder
from cytomesh.core.errors import CytomeshError, PackageError
from cytomesh.core.progress import log

SUBJECT = "self-test"
LEAST_F1 = 0.5
"""Twelve areas; profiles and probability maps reach 0.95, and chance 0.08."""


def self_test(folder: Path) -> Finding:
    """Map one small brain below a folder, leaving nothing there; say what ran, and for how long."""
    try:
        with tempfile.TemporaryDirectory(prefix=".cytomesh-doctor-", dir=nearest_folder(folder)) as place:
            return _mapped(Path(place))
    except PackageError as error:
        return Finding(SUBJECT, "note", f"not run: {error.source} is not installed", error.hint)
    except CytomeshError as error:
        return Finding(SUBJECT, "problem", str(error), "see the findings above; pip install --force-reinstall cytomesh")
    except Exception as error:  # of a library that does not work here: that is what was asked
        advice = "see the findings above; without any there, report it with what --debug shows of the failing command"
        return Finding(SUBJECT, "problem", f"{type(error).__name__}: {error}", advice)


def _mapped(run: Path) -> Finding:
    # here, since packages that cannot be imported are a finding, too
    from cytomesh.analyze.profiles import ProfilesConfig, profiles_run
    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.classify.run import classify_run
    from cytomesh.core.config import load_config, preset
    from cytomesh.graph.build import build_graphs
    from cytomesh.graph.config import BuildGraphConfig
    from cytomesh.phantom.config import PhantomConfig
    from cytomesh.phantom.write import write_phantom

    study, seconds = run / "phantom", dict[str, float]()

    def step(name: str, do: Callable[[], Any]) -> Any:
        log(f"self-test: {name}")
        start = time.perf_counter()
        result = do()
        seconds[name] = time.perf_counter() - start
        return result

    one_brain = ["brains=[{id: T01, role: train}]"]
    phantom = load_config(PhantomConfig, preset("phantom", "tiny"), one_brain)
    step("phantom", lambda: write_phantom(study, phantom, workers=1))
    build = load_config(BuildGraphConfig, preset("build-graph", "tiny"), [])
    graphs = step("build-graph", lambda: build_graphs(study / "study.yaml", run, build, workers=1))
    profiles = load_config(ProfilesConfig, preset("profiles", "tiny"), [])
    step("profiles", lambda: profiles_run(run, "profiles", profiles))
    linear = load_config(ClassifyConfig, preset("classify", "linear"), ["inputs.names=[features:profiles, pmap]"])
    score = step("classify", lambda: classify_run(run, "linear", linear))["macro_f1_seen"]
    (graph,) = graphs.values()
    times = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    found = (
        f"one phantom brain, a graph of {graph['n_nodes']:,} nodes, a linear classifier: macro-F1 {score:.2f}"
        f" in {sum(seconds.values()):.0f} s ({times}); no encoder, one process"
    )
    if score > LEAST_F1:
        return Finding(SUBJECT, "ok", found)
    advice = f"expected more than {LEAST_F1}: report it, with what cytomesh doctor --json prints"
    return Finding(SUBJECT, "problem", found, advice)
