"""`cytomesh classify`, `classify-folds`, `classify-predict`, `classify-compare`: areas of nodes, scores, new brains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytomesh.cli.options import (
    AllowStale,
    AsJson,
    ConfigPath,
    DryRun,
    Name,
    OutDir,
    Overrides,
    Resume,
    Seed,
    load_settings,
    show,
    show_table,
    tell,
)

app = typer.Typer()


@app.command()
def classify(
    out: OutDir,
    name: Name = "areas",
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Predict the cytoarchitectonic area of every node."""
    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.classify.plan import plan_classify
    from cytomesh.classify.run import classify_run

    settings = load_settings(ClassifyConfig, config, overrides, seed)
    if dry_run:
        tell(plan_classify(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)
        return
    show(classify_run(out, name, settings, resume=resume, allow_stale=allow_stale), as_json)


@app.command("classify-folds")
def folds(
    out: OutDir,
    name: Name = "folds",
    n_folds: Annotated[int, typer.Option("--folds", "-k", help="Folds of brains; 0: leave one brain out.")] = 0,
    config: ConfigPath = None,
    overrides: Overrides = None,
    seed: Seed = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Cross-validate over brains: each annotated brain is tested once, by a classifier trained on the others.

    If it is stopped, the same command continues with the missing folds. Use features of an encoder that was not tuned
    on these brains' labels.
    """
    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.classify.folds import folds_run

    settings = load_settings(ClassifyConfig, config, overrides, seed)
    show(folds_run(out, name, settings, n_folds, resume=resume, allow_stale=allow_stale), as_json)


@app.command("classify-predict")
def predict(
    out: OutDir,
    model: Annotated[Path, typer.Option("--model", "-m", help="Trained classifier: RUN/classify/NAME.")],
    name: Name = "predicted",
    config: ConfigPath = None,
    overrides: Overrides = None,
    resume: Resume = True,
    allow_stale: AllowStale = False,
    as_json: AsJson = False,
) -> None:
    """Predict the areas of brains without labels, with a classifier trained elsewhere."""
    from cytomesh.classify.config import PredictConfig
    from cytomesh.classify.predict import predict_run

    settings = load_settings(PredictConfig, config, overrides, None)
    show_table(predict_run(out, model, name, settings, resume=resume, allow_stale=allow_stale), as_json)


@app.command("classify-compare")
def compare(
    out: OutDir,
    names: Annotated[list[str], typer.Argument(help="Results to compare; the first is the reference.")],
    as_json: AsJson = False,
) -> None:
    """Compare classifiers of one run, node by node on the same test nodes."""
    from cytomesh.classify.compare import compare_runs

    tell(compare_runs(out, names), as_json)
