"""The whole job on the built-in study: every stage with its demo settings, one table at the end."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.inspect.config import InspectConfig
from cytomesh.analyze.inspect.run import inspect_run
from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.run import layers_run
from cytomesh.analyze.profiles import ProfilesConfig, profiles_run
from cytomesh.analyze.variation import variation_run
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.evaluation import MAPS, REGISTERED
from cytomesh.classify.run import classify_run
from cytomesh.core.config import Config, load_config, preset
from cytomesh.core.errors import QualityError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log
from cytomesh.core.provenance import made_now
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run
from cytomesh.phantom.baselines import phantom_baselines
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.write import write_phantom
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.run import pretrain_run
from cytomesh.register.config import RegisterConfig
from cytomesh.register.run import register_run
from cytomesh.report.inspection import inspect_page
from cytomesh.report.parcels import parcel_page
from cytomesh.report.run import report_run

SPLITS = ("seen", "transfer", "unseen")
SettingsT = TypeVar("SettingsT", bound=Config)

REGISTRATION = "folding"
BY_BRAIN = "inputs.standardise=graph"
OUTLINED = "gat-prior"
PRIOR = f"prior.registration={REGISTRATION}"
# result -> (preset of classify, inputs, further settings, row of the table)
MODELS: dict[str, tuple[str, list[str], tuple[str, ...], str]] = {
    "linear-untrained": ("linear", ["features:untrained"], (), "linear, encoder untrained"),
    "linear": ("linear", ["features:spatialnce"], (), "linear"),
    "linear-prior": ("linear", ["features:spatialnce"], (PRIOR,), "linear, and registered areas"),
    "mlp": ("mlp", ["features:spatialnce"], (), "MLP"),
    "mlp-crf": ("mlp_crf", ["features:spatialnce"], (), "MLP, with the areas around"),
    "gat": ("gat", ["features:spatialnce"], (), "GAT"),
    "gat-prior": ("gat", ["features:spatialnce"], (PRIOR,), "GAT, and registered areas"),
    "gat-plus": ("gat_plus", ["features:spatialnce", "pmap", "coordinates"], (), "GNN+"),
}
ORDER = (("linear", "linear-untrained"), ("gat", "linear"), ("gat-prior", "gat"), ("gat-prior", REGISTERED))
"""What has to be better than what."""
NO_IMAGE = {"coordinates": "nearest training nodes", MAPS: MAPS, REGISTERED: REGISTERED}
"""What needs no image, and its row of the table."""


class DemoConfig(Config):
    """Settings of the demo; those of the stages are the shipped ones, see `configs/`."""

    size: Literal["tiny", "demo"] = "demo"
    """`demo` maps four brains in minutes; `tiny` takes seconds, shows that everything runs, and promises no score."""
    difficulty: Literal["easy", "middle"] = "middle"
    """How much brains differ: in `middle`, borders move against folding, areas are missing or doubled in one brain, one
    is cut in other planes and stained darker; in `easy`, brains differ by their folds and by noise."""
    seed: int = 0
    """Seed of every stage."""


def demo_run(run: Path, settings: DemoConfig, *, resume: bool = True) -> dict[str, Any]:
    """Write a whole run directory on the phantom study, `report.html` and `summary.json` included.

    Returns
    -------
    dict
        `models`, `baselines` and `no_image` (macro-F1 by split), `parcellation` (per graph), `variation` (R2),
        `layers` (macro-F1 and errors), `seconds` (per stage).

    Raises
    ------
    QualityError
        At size `demo`, if pretraining did not help a linear model, graph attention did not beat that, or images and
        registered areas together neither of both: the phantom is made so that they must.
    """
    size, workers = settings.size, available_cpus()
    study = run / "phantom"
    seconds: dict[str, float] = {}

    def step(command: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        log(f"$ cytomesh {command}")
        start = time.perf_counter()
        result = do()
        seconds[command.split(" --config")[0].split(" --out")[0]] = round(time.perf_counter() - start, 1)
        return result

    def stage(kind: type[SettingsT], name: str, *overrides: str) -> tuple[SettingsT, str]:
        """Return a preset of a stage, and the options that give it on the command line."""
        has_chance = "seed" in kind.model_fields
        chosen = load_config(kind, preset(kind.presets, name), [*overrides, *[f"seed={settings.seed}"] * has_chance])
        sets = "".join(f" --set {shlex.quote(override)}" for override in overrides)
        return chosen, f"--config {name}{sets}" + f" --seed {settings.seed}" * has_chance

    phantom, options = stage(PhantomConfig, size + ("_middle" if settings.difficulty == "middle" else ""))

    def simulate() -> dict[str, Any]:
        write_phantom(study, phantom, workers=workers, resume=resume)
        return phantom_baselines(study)

    baselines = step(f"phantom --out {study} {options}", simulate)
    build, options = stage(BuildGraphConfig, size)
    step(
        f"build-graph {study / 'study.yaml'} --out {run} {options}",
        lambda: build_graphs(study / "study.yaml", run, build, resume=resume, workers=workers),
    )
    registration, options = stage(RegisterConfig, "study")
    step(
        f"register --name {REGISTRATION} --out {run} {options}",
        lambda: register_run(run, REGISTRATION, registration, resume=resume, workers=workers),
    )
    for name, overrides in {"spatialnce": [], "untrained": ["schedule.steps=0"]}.items():
        encoder, options = stage(PretrainConfig, size, *overrides)
        step(
            f"pretrain --name {name} --out {run} {options}",
            lambda n=name, c=encoder: pretrain_run(run, n, c, resume=resume),  # type: ignore[misc]
        )
        step(f"embed --encoder {name} --out {run}", lambda n=name: embed_run(run, n, EmbedConfig(), resume=resume))  # type: ignore[misc]
    profiles, options = stage(ProfilesConfig, size)
    step(f"profiles --out {run} {options}", lambda: profiles_run(run, "profiles", profiles, resume=resume))
    variation, options = stage(VariationConfig, "demo")
    structure = step(
        f"variation --out {run} {options}", lambda: variation_run(run, "variation", variation, resume=resume)
    )
    inspection, options = stage(InspectConfig, size)
    step(f"inspect --out {run} {options}", lambda: inspect_run(run, "inspect", inspection, resume=resume))
    inspect_page(run, "inspect")
    layers, options = stage(LayersConfig, size)
    segmented = step(
        f"segment-layers --out {run} {options}",
        lambda: layers_run(run, "layers", layers, resume=resume, workers=workers),
    )
    shorter = ("n_seeds=1", "training.epochs=10") if size == "tiny" else ()
    models = {}
    for name, (path, inputs, more, _) in MODELS.items():
        # outlines of one model show what they are; of all they would take minutes
        outlines = () if name == OUTLINED else ("outlines=false",)
        changes = (f"inputs.names={json.dumps(inputs)}", BY_BRAIN, *more, *outlines, *shorter)
        model, options = stage(ClassifyConfig, path, *changes)
        models[name] = step(
            f"classify --name {name} --out {run} {options}",
            lambda n=name, m=model: classify_run(run, n, m, resume=resume),  # type: ignore[misc]
        )
    no_image = _without_images(run / "classify" / "gat-prior" / "metrics.json")
    as_many = [] if size == "tiny" else [f"n_parcels={phantom.areas.count}"]
    method = "tiny" if size == "tiny" else "diffusion"
    parcels, options = stage(ParcellateConfig, method, "encoder=spatialnce", *as_many)
    parcellation = step(
        f"parcellate --name parcels --out {run} {options}",
        lambda: parcellate_run(run, "parcels", parcels, resume=resume),
    )
    parcel_page(run, "parcels")
    summary = {
        "size": size,
        "models": models,
        "baselines": baselines,
        "no_image": no_image,
        "parcellation": parcellation,
        "variation": structure,
        "layers": segmented,
        "seconds": seconds,
        "provenance": made_now(settings.seed),
    }
    write_json(run / "summary.json", summary)
    step(f"report --out {run}", lambda: report_run(run))
    write_json(run / "summary.json", summary)
    if size == "demo":
        check_order(models | no_image, run)
    return summary


def _without_images(path: Path) -> dict[str, dict[str, float]]:
    """Return the scores of what needs no image, beside a model's, as those of models."""
    splits = read_json(path)["splits"]
    return {name: {f"macro_f1_{split}": splits[split]["baselines"][name] for split in SPLITS} for name in NO_IMAGE}


def check_order(models: dict[str, dict[str, Any]], run: Path) -> None:
    """Raise QualityError unless what should be better is (see `ORDER`), on every split."""
    for better, worse in ORDER:
        for split in SPLITS:
            high, low = (models[name][f"macro_f1_{split}"] for name in (better, worse))
            if not high > low:
                found = f"{split}: {better} {high:.3f}, {worse} {low:.3f} macro-F1"
                raise QualityError(run / "summary.json", found=found, expected=f"{better} above {worse}")


def summary_table(summary: dict[str, Any]) -> str:
    """Return the final table as text: models by split, baselines, parcellation beside its nulls."""
    lines = [f"{'macro-F1':<44}" + "".join(f"{split:>16}" for split in SPLITS)]
    for name, scores in summary["baselines"].items():
        values = "".join(f"{scores[split]:>16.3f}" for split in SPLITS)
        lines.append(f"{name.replace('_', ' ') + ' (no learning)':<44}{values}")
    for name, (*_, row) in MODELS.items():
        scores = summary["models"][name]
        cells = [_with_sd(scores[f"macro_f1_{split}"], scores.get(f"macro_f1_{split}_sd", 0.0)) for split in SPLITS]
        lines.append(f"{row:<44}" + "".join(f"{cell:>16}" for cell in cells))
    for name, row in NO_IMAGE.items():
        values = "".join(f"{summary['no_image'][name][f'macro_f1_{split}']:>16.3f}" for split in SPLITS)
        lines.append(f"{f'no image: {row}':<44}{values}")
    lines.append("")
    lines += _parcellation_rows(summary["parcellation"])
    lines += ["", *_variation_rows(summary["variation"])]
    lines += ["", *_layer_rows(summary["layers"])]
    lines.append(f"\n{sum(summary['seconds'].values()):.0f} s in all")
    return "\n".join(lines)


def _with_sd(mean: float, sd: float) -> str:
    """Return a score with its SD over seeds, if there are several that differ."""
    return f"{mean:.3f}" + (f" ± {sd:.3f}" if sd else " " * 8)


def _parcellation_rows(parcellation: dict[str, dict[str, Any]]) -> list[str]:
    rows = [f"{'parcels against areas (minus rotated areas)':<48}{'k':>5}{'ARI':>18}{'NMI':>18}"]
    for graph, scores in parcellation.items():
        if "ari" not in scores:
            continue
        cells = [f"{scores[s]:.3f} ({scores[f'{s}_over_spin']:+.3f})" for s in ("ari", "nmi")]
        rows.append(f"{graph:<48}{scores['n_parcels']:>5}" + "".join(f"{cell:>18}" for cell in cells))
    return rows


def _variation_rows(variation: dict[str, dict[str, Any]]) -> list[str]:
    """Return R2 of each structural property by each of the features; coordinates are left to the report."""
    pairs = [key.split(": ", 1) for key in variation]
    features = list(dict.fromkeys(name for name, _ in pairs))
    rows = [
        f"{'R2 of all components, blocks left out':<44}" + "".join(f"{name:>16}" for name in (*features, "location"))
    ]
    for target in dict.fromkeys(target for _, target in pairs):
        if not target.startswith("ref_"):
            known = [variation[f"{name}: {target}"] for name in features]
            values = [*(scores["r2"] for scores in known), known[0]["location"]]
            rows.append(f"{target:<44}" + "".join(f"{value:>16.3f}" for value in values))
    return rows


def _layer_rows(layers: dict[str, dict[str, Any]]) -> list[str]:
    """Return the macro-F1 of cortical layers from each method."""
    rows = [f"{'macro-F1 of layers I-VI from':<44}" + "".join(f"{split:>16}" for split in SPLITS)]
    for method in dict.fromkeys(key.rpartition(": ")[0] for key in layers):
        known = (layers.get(f"{method}: {split}", {}).get("macro_f1", float("nan")) for split in SPLITS)
        rows.append(f"{method:<44}" + "".join(f"{value:>16.3f}" for value in known))
    return rows
