"""`cytomesh settings`: every setting of a stage, with its default and what it means."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cytomesh.cli.options import ConfigPath, Overrides, load_settings

app = typer.Typer()


class Stage(StrEnum):
    """What takes settings."""

    build_graph = "build-graph"
    register = "register"
    pretrain = "pretrain"
    embed = "embed"
    profiles = "profiles"
    finetune = "finetune"
    classify = "classify"
    classify_predict = "classify-predict"
    parcellate = "parcellate"
    segment_layers = "segment-layers"
    variation = "variation"
    evaluate = "evaluate"
    cells = "cells"
    cells_segment = "cells-segment"
    inspect = "inspect"
    phantom = "phantom"
    demo = "demo"
    contours_extract = "contours-extract"


PLACES = {
    Stage.build_graph: "cytomesh.graph.config:BuildGraphConfig",
    Stage.register: "cytomesh.register.config:RegisterConfig",
    Stage.pretrain: "cytomesh.pretrain.config:PretrainConfig",
    Stage.embed: "cytomesh.pretrain.config:EmbedConfig",
    Stage.profiles: "cytomesh.analyze.profiles:ProfilesConfig",
    Stage.finetune: "cytomesh.finetune.config:FinetuneConfig",
    Stage.classify: "cytomesh.classify.config:ClassifyConfig",
    Stage.classify_predict: "cytomesh.classify.config:PredictConfig",
    Stage.parcellate: "cytomesh.parcellate.config:ParcellateConfig",
    Stage.segment_layers: "cytomesh.analyze.layers.config:LayersConfig",
    Stage.variation: "cytomesh.analyze.config:VariationConfig",
    Stage.evaluate: "cytomesh.analyze.evaluate.config:EvaluateConfig",
    Stage.cells: "cytomesh.analyze.cells.config:CellsConfig",
    Stage.cells_segment: "cytomesh.analyze.cells.config:SegmentConfig",
    Stage.inspect: "cytomesh.analyze.inspect.config:InspectConfig",
    Stage.phantom: "cytomesh.phantom.config:PhantomConfig",
    Stage.demo: "cytomesh.demo:DemoConfig",
    Stage.contours_extract: "cytomesh.imaging.tissue:TissueConfig",
}


@app.command("settings")
def settings(
    stage: Annotated[Stage, typer.Argument(help="The command that takes them.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Print every setting of a command as commented YAML: for --config, or to look up --set keys.

    Each is at its default, or as --config and --set give it. Presets are named at the top.
    """
    from importlib import import_module

    from cytomesh.core.settings_text import settings_text

    module, _, name = PLACES[stage].partition(":")
    kind = getattr(import_module(module), name)
    typer.echo(settings_text(kind, load_settings(kind, config, overrides, None) if config or overrides else None))
