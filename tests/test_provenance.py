"""Every file and every setting of a small study in turn: what depends on it is made again, and nothing else."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import yaml
import zarr

from cytomesh.classify.config import ClassifyConfig, PredictConfig
from cytomesh.classify.folds import folds_run
from cytomesh.classify.predict import predict_run
from cytomesh.classify.run import NOT_IN_KEY as CLASSIFY_FREE
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import CheckpointError, ConfigError, MissingStageError, StaleError
from cytomesh.core.provenance import flat_settings
from cytomesh.core.tables import read_table
from cytomesh.graph.build import build_graphs
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import images_read
from cytomesh.parcellate.run import parcellate_run
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import NOT_IN_KEY as EMBED_FREE
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.job import NOT_IN_KEY as PRETRAIN_FREE
from cytomesh.pretrain.run import pretrain_run
from cytomesh.report.status import run_status
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.study import open_study
from cytomesh.surface.gifti import read_surface, write_surface
from cytomesh.surface.mesh import Mesh
from tests.provenance_chain import ALL, AREAS, ENCODER, FEATURES, GRAPHS, PARCELS, Chain

FREE = {
    "graphs": {"seed"},
    "encoders": PRETRAIN_FREE,
    "features": EMBED_FREE,
    "classify": CLASSIFY_FREE,
    "parcellate": set(),
}


@pytest.fixture
def copy(small_chain, tmp_path) -> Chain:
    """Study and run, moved elsewhere."""
    shutil.copytree(small_chain.study.parent, tmp_path / "moved")
    return Chain(tmp_path / "moved" / "study", tmp_path / "moved" / "run")


def stale(chain: Chain) -> set[str]:
    """What is stale by itself, not for being built on something that is."""
    freshness = Freshness(chain.run, FileDigests())
    return {
        product for product in ALL if any(not reason.startswith("built on") for reason in freshness.reasons(product))
    }


def _image(chain: Chain) -> None:
    image = next((chain.study / "sub-T01" / "micr").glob("*.ome.zarr"))
    level = zarr.open_array(image / "0", mode="r+")
    level[...] = 255 - np.asarray(level[...])


def _contours(chain: Chain) -> None:
    path = sorted((chain.study / "derivatives").rglob("*sub-T01*.geojson"))[2]
    path.write_text(path.read_text().replace("pial_L", "pial_L "))


def _annotation(chain: Chain) -> None:
    from PIL import Image

    path = sorted((chain.study / "derivatives").rglob("sub-T01*.png"))[2]
    labels = np.asarray(Image.open(path)).copy()
    labels[labels == labels[labels > 0].min()] = 0
    Image.fromarray(labels).save(path)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _role(chain: Chain) -> None:
    _edit(chain.study / "sub-T01" / "sections.tsv", "\ttrain\t", "\tnone\t")


def _label(chain: Chain) -> None:
    _edit(chain.study / "atlas" / "labels.tsv", "P03", "Q03")


def _scaled(path: Path, factor: float) -> None:
    image = nib.load(path)
    values = np.asarray(image.dataobj) * factor
    nib.save(nib.Nifti1Image(values.astype(np.float32), image.affine, image.header), path)


def _maps(chain: Chain) -> None:
    _scaled(chain.study / "atlas" / "pmaps.nii.gz", 0.5)


def _displacement(chain: Chain) -> None:
    _scaled(next((chain.study / "sub-T02").glob("*displacement.nii.gz")), 0.5)


def _own_surface(chain: Chain) -> None:
    path = chain.study / "sub-T02" / "surf" / "midthickness.surf.gii"
    mesh = read_surface(path)
    write_surface(path, Mesh(mesh.vertices + 0.1, mesh.faces), "L", "midthickness")


def _brain_role(chain: Chain) -> None:
    path = chain.study / "study.yaml"
    manifest = yaml.safe_load(path.read_text())
    manifest["brains"][1]["role"] = "transfer"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))


# What somebody changes -> what of it is stale at once; what is made when all stages are called again.
CHANGES = {
    "image": (_image, {ENCODER, FEATURES[0]}, {ENCODER, *FEATURES, AREAS, PARCELS}),
    "annotation": (_annotation, {GRAPHS[0]}, {GRAPHS[0], AREAS, PARCELS}),
    "role of a section": (_role, {GRAPHS[0]}, {GRAPHS[0], AREAS, PARCELS}),
    "probability maps": (_maps, set(GRAPHS), {*GRAPHS, AREAS}),
    "to_reference": (_displacement, {GRAPHS[1]}, {GRAPHS[1], AREAS, PARCELS}),
    "name of an area": (_label, set(GRAPHS), {*GRAPHS, AREAS, PARCELS}),
    "own surface": (_own_surface, {GRAPHS[1]}, {GRAPHS[1], FEATURES[1], AREAS, PARCELS}),
    "role of a brain": (_brain_role, {GRAPHS[1]}, {GRAPHS[1], ENCODER, *FEATURES, AREAS, PARCELS}),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_depends_on_a_change_is_made_again_and_nothing_else(copy, tmp_path):
    assert copy.make() == []  # moved: nothing has changed
    for name, (change, is_stale, is_made) in CHANGES.items():
        change(copy)
        assert stale(copy) == is_stale, name
        assert set(copy.make()) == is_made, name
        assert not stale(copy), name
    fresh = Chain(copy.study, tmp_path / "fresh")
    fresh.make()
    assert copy.results() == fresh.results()
    assert (
        not list(copy.run.rglob(".partial-*")) + list(copy.run.rglob(".next-*")) + list(copy.run.rglob(".sections-*"))
    )
    assert len(list((copy.run / "patches").glob("*/bank.json"))) == 1  # the banks of old images are gone


SETTINGS = {
    "graph": ("surface.edge_length_mm=4.5", {*GRAPHS, ENCODER, *FEATURES, AREAS, PARCELS}),
    "encoder": ("objectives.spatial_nce.sigma_mm=5.0", {ENCODER, *FEATURES, AREAS, PARCELS}),
    "features": ("dtype=float16", {*FEATURES, AREAS, PARCELS}),
    "areas": ("model.strength=0.5", {AREAS}),
    "parcels": ("n_parcels=5", {PARCELS}),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_setting_of_a_stage_makes_it_and_what_follows(copy, tmp_path):
    chain = copy
    for stage, (override, is_made) in reversed(SETTINGS.items()):
        chain = Chain(chain.study, chain.run, **{**_chosen(chain), stage: (override,)})
        assert set(chain.make()) == is_made, stage
    fresh = Chain(chain.study, tmp_path / "fresh", **_chosen(chain))
    fresh.make()
    assert chain.results() == fresh.results()


def _chosen(chain: Chain) -> dict[str, tuple[str, ...]]:
    return {stage: getattr(chain, stage) for stage in SETTINGS}


@pytest.mark.slow
def test_every_file_that_the_study_names_counts_for_what_reads_it(copy):
    """One changed byte in each file: exactly the products that read it become stale."""
    study = open_study(copy.study / "study.yaml")
    expected: dict[Path, set[str]] = {}
    for brain, graph, features in zip(study.brains, GRAPHS, FEATURES, strict=True):
        is_trained_on = brain.role == "train"
        for section in brain.sections:
            for path in (section.contours, section.annotation, section.displacement):
                if path:
                    expected[path] = {graph}
            if section.image:
                links = read_table(copy.run / graph / "nodes.parquet")["section"]
                is_linked = bool((links == section.index).any())
                expected[section.image] = ({features} | ({ENCODER} if is_trained_on else set())) if is_linked else set()
    expected[study.atlas.maps] = set(GRAPHS)
    for brain, graph in zip(("T01", "T02"), GRAPHS, strict=True):
        expected[next((copy.study / f"sub-{brain}").glob("*displacement.nii.gz"))] = {graph}
    for path in study.brain("T02").surfaces["L"].files.values():
        expected[path] = {GRAPHS[1]}
    for surfaces in study.template.values():
        expected |= {surfaces.pial: set(), surfaces.white: set()}  # read for geodesic distances only
    assert len(expected) > 50
    for path, is_stale in expected.items():
        target = (
            path
            if path.is_file()
            else max((file for file in (path / "0").rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
        )
        content = target.read_bytes()
        target.write_bytes(content + b" ")
        assert stale(copy) == is_stale, path
        target.write_bytes(content)
    assert stale(copy) == set()


def leaves(settings: dict, prefix: str = ""):
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def others(value):
    """Values that a setting might have instead."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value / 2, value + 0.25, value - 1]
    if isinstance(value, list):
        return [value[:-1], value * 2, [*value, 7]]
    return ["R", "training", "cuda", "cpu", "bfloat16", "float16", "skip", 0.5, 2, True, ["ply"], "ward", "x"]


@pytest.mark.parametrize("stage", ["graphs", "encoders", "features", "classify", "parcellate"])
def test_every_setting_counts_but_those_that_change_only_the_way(stage):
    """Each leaf of a stage's settings, given another value that the settings allow, gives another key - or is free."""
    settings = Chain(Path("study"), Path("run")).settings()[stage]
    before = flat_settings(settings, FREE[stage])
    n_tried = 0
    for name, value in leaves(settings.model_dump(mode="json")):
        for other in others(value):
            try:
                changed = load_config(type(settings), None, [*_overrides(settings), f"{name}={json.dumps(other)}"])
            except ConfigError:
                continue
            if changed == settings:
                continue
            n_tried += 1
            is_free = name.split(".")[0] in FREE[stage]
            assert (flat_settings(changed, FREE[stage]) == before) == is_free, name
            break
    assert n_tried >= 4


def _overrides(settings) -> list[str]:
    return [f"{name}={json.dumps(value)}" for name, value in settings.model_dump(mode="json").items()]


def test_a_stage_stops_on_stale_products_unless_told(copy):
    settings = copy.settings()
    _maps(copy)
    for stop in (
        lambda **told: pretrain_run(copy.run, "vit", settings["encoders"], **told),
        lambda **told: embed_run(copy.run, "vit", settings["features"], **told),
        lambda **told: classify_run(copy.run, "linear", settings["classify"], **told),
        lambda **told: parcellate_run(copy.run, "parcels", settings["parcellate"], **told),
    ):
        with pytest.raises(StaleError, match="probability maps changed.*build-graph|probability maps changed"):
            stop()
        stop(allow_stale=True)
    states = {status.product: status for status in run_status(copy.run)}
    assert states[GRAPHS[0]].state == "stale" and states[GRAPHS[0]].reasons == ("probability maps changed",)
    assert "built on graphs/T01_hemi-L, which is stale" in states[AREAS].reasons


def test_features_and_weights_that_somebody_changed_are_noticed(copy):
    path = copy.run / f"{FEATURES[0]}.npy"
    values = np.load(path)
    values[::2] = 0.0  # half of a copy lost, say
    np.save(path, values)
    with pytest.raises(StaleError, match=r"T01_hemi-L\.npy is not as it was written"):
        classify_run(copy.run, "other", copy.settings()["classify"])
    embed_run(copy.run, "vit", copy.settings()["features"])
    classify_run(copy.run, "other", copy.settings()["classify"])
    weights = copy.run / ENCODER / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: found weights that are not as they were written"):
        embed_run(copy.run, "vit", copy.settings()["features"])


def test_other_names_of_drawn_areas_are_noticed(copy):
    assert not stale(copy)
    path = copy.study / "study.yaml"
    path.write_text(path.read_text() + '\nannotations: {classes: {"*": ignore}}\n')
    assert stale(copy) == set(GRAPHS)


def test_tables_that_name_other_images_are_noticed(copy):
    folder = copy.study / "sub-T01" / "micr"
    table = copy.study / "sub-T01" / "sections.tsv"
    first = sorted(folder.glob("*.ome.zarr"))[5]
    shutil.copytree(first, folder / f"v2_{first.name}")
    level = zarr.open_array(folder / f"v2_{first.name}" / "0", mode="r+")
    level[...] = 255 - np.asarray(level[...])
    _edit(table, first.name, f"v2_{first.name}")
    assert stale(copy) == {ENCODER, FEATURES[0]}


def test_another_window_of_a_brain_s_images_is_noticed_by_what_reads_them(copy):
    path = copy.study / "study.yaml"
    data = yaml.safe_load(path.read_text())

    def change(study, brain):
        brains = [{**item, **({"image": brain} if item["id"] == "T01" else {})} for item in data["brains"]]
        path.write_text(yaml.safe_dump({**data, "image": study, "brains": brains}))

    change({}, {})
    assert stale(copy) == set()
    change({"channels": 0}, {})  # spelt out: another setting, though the same pixels
    assert stale(copy) == {ENCODER, *FEATURES}
    change({}, {"window": [0, 200]})
    assert stale(copy) == {ENCODER, FEATURES[0]}
    reasons = Freshness(copy.run, FileDigests()).reasons(FEATURES[0])
    assert any(reason.startswith("image.window of T01 section") for reason in reasons)
    embed_run(copy.run, "vit", copy.settings()["features"], allow_stale=True)
    assert stale(copy) == {ENCODER, AREAS, PARCELS}  # features of another window are others
    change({}, {"window": [0, 201]})
    assert stale(copy) == {ENCODER, FEATURES[0], AREAS, PARCELS}


def test_a_graph_that_the_study_has_no_more_is_stale(copy, capsys):
    path = copy.study / "study.yaml"
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(data | {"brains": data["brains"][:1]}))
    reasons = Freshness(copy.run, FileDigests()).reasons(GRAPHS[1])
    assert reasons == [f"the study has no hemisphere L of T02: remove {copy.run / GRAPHS[1]}"]
    build_graphs(path, copy.run, copy.settings()["graphs"], workers=1)
    assert "T02_hemi-L: the study has no such hemisphere" in capsys.readouterr().err
    shutil.rmtree(copy.run / GRAPHS[1])
    assert stale(copy) == {FEATURES[1], AREAS, PARCELS}


def test_normalised_features_follow_the_brain_s_other_sections(copy):
    path = copy.study / "study.yaml"
    before = np.load(copy.run / f"{FEATURES[1]}.npy")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "image": {"normalise": "stain"}}))
    assert stale(copy) == {ENCODER, *FEATURES}
    embed_run(copy.run, "vit", copy.settings()["features"], allow_stale=True)
    assert not (np.load(copy.run / f"{FEATURES[1]}.npy") == before).all()
    _image(copy)  # one section of T01 is another: so is the median
    assert stale(copy) == {ENCODER, FEATURES[0], AREAS, PARCELS}
    reasons = Freshness(copy.run, FileDigests()).reasons(FEATURES[0])
    assert any(reason.startswith("image.normalise of T01 section") for reason in reasons)


def test_pixels_in_a_folder_beside_the_named_file_count(tmp_path):
    """A MIRAX slide is a small file, and a folder of its name that holds the pixels."""
    plane = SectionPlane(np.array([[0.02, 0, 0], [0, 0.02, 0], [0, 0, 0]]))
    image, data = tmp_path / "a.mrxs", tmp_path / "a" / "Data0000.dat"
    data.parent.mkdir()
    image.write_bytes(b"x")
    study = SimpleNamespace(path=tmp_path / "study.yaml")

    def inputs(content):
        data.write_bytes(content)
        return images_read(tmp_path / "run", study, [Section("B01", 7, image, 20.0, plane)], FileDigests())

    assert inputs(b"one").changes(inputs(b"two")) == ["image data of B01 section 7 changed"]


def test_what_the_run_and_the_study_have_gained_or_lost_is_noticed(copy):
    study = copy.study / "study.yaml"
    before = study.read_text()
    study.write_text(before.replace("hemispheres:\n  - L", "hemispheres:\n  - R", 1))
    assert study.read_text() != before
    assert stale(copy) == {GRAPHS[0]}
    study.write_text(before)
    record = copy.run / GRAPHS[0] / "provenance.json"
    content = record.read_text()
    record.write_text("garbage")
    with pytest.raises(StaleError, match=r"its record, provenance\.json, cannot be read"):
        classify_run(copy.run, "other", copy.settings()["classify"])
    record.write_text(content)
    shutil.copytree(copy.run / GRAPHS[1], copy.run / "graphs" / "T03_hemi-L")
    assert stale(copy) == {AREAS, PARCELS}


def test_predictions_stop_at_a_stale_classifier_and_folds_are_not_written_over(copy):
    settings = copy.settings()
    model = copy.run / AREAS
    predict_run(copy.run, model, "predicted", PredictConfig(outlines=False))
    embed_run(copy.run, "vit", load_config(EmbedConfig, None, ["dtype=float16"]))
    with pytest.raises(StaleError, match=r"classify/linear \(vit features of"):
        predict_run(copy.run, model, "predicted", PredictConfig(outlines=False))
    classify_run(copy.run, "linear", settings["classify"])
    predict_run(copy.run, model, "predicted", PredictConfig(outlines=False))
    (copy.run / "classify" / "folds" / "fold-1").mkdir(parents=True)
    with pytest.raises(ConfigError, match="folds of a cross-validation"):
        classify_run(copy.run, "folds", settings["classify"])
    with pytest.raises(ConfigError, match="another kind"):
        folds_run(copy.run, "linear", load_config(ClassifyConfig, preset("classify", "linear")))


def test_fewer_steps_than_a_stopped_continuation_are_refused(copy):
    settings = copy.settings()["encoders"]
    longer = settings.model_copy(update={"schedule": settings.schedule.model_copy(update={"steps": 9})})
    pretrain_run(copy.run, "vit", longer)
    finished, beside = copy.run / ENCODER, copy.run / "encoders" / ".next-vit"
    shutil.copytree(finished, beside)  # as if stopped at step 9 of 20
    record = json.loads((beside / "provenance.json").read_text())
    record["inputs"]["settings"]["schedule.steps"] = 20
    (beside / "provenance.json").unlink()
    (beside / "unfinished.json").write_text(json.dumps(record))
    (finished / "checkpoints").rename(copy.run / "aside")
    shorter = settings.model_copy(update={"schedule": settings.schedule.model_copy(update={"steps": 8})})
    with pytest.raises(ConfigError, match=r"schedule\.steps"):
        pretrain_run(copy.run, "vit", shorter)
    summary = pretrain_run(copy.run, "vit", shorter, overwrite=True)  # what had 9 steps does not pass for 8
    steps = [json.loads(line)["step"] for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert summary["steps"] == 8 and max(steps) == 8


def test_a_finished_encoder_survives_a_repeat_with_other_settings(copy):
    folder = copy.run / ENCODER
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    default = load_config(PretrainConfig, preset("pretrain", "tiny"))
    for options in ({}, {"resume": False}):
        with pytest.raises(
            ConfigError, match=r"finished with other settings.*schedule\.steps 3 -> 20.*--overwrite"
        ) as error:
            changed = default.model_copy(update={"seed": 9})
            pretrain_run(copy.run, "vit", changed, **options)
        assert "seed 0 -> 9" in str(error.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_more_steps_go_on_from_the_last_checkpoint(copy):
    settings = copy.settings()["encoders"]
    longer = settings.model_copy(update={"schedule": settings.schedule.model_copy(update={"steps": 5})})
    summary = pretrain_run(copy.run, "vit", longer)
    steps = [json.loads(line)["step"] for line in (copy.run / ENCODER / "metrics.jsonl").read_text().splitlines()]
    assert summary["steps"] == 5 and steps[0] <= 3 and steps[-1] == 5
    with pytest.raises(ConfigError, match=r"schedule\.steps 5 -> 3"):
        pretrain_run(copy.run, "vit", settings)


def test_status_of_a_damaged_record_and_of_empty_folders(tmp_path):
    (tmp_path / "classify" / "areas").mkdir(parents=True)
    (tmp_path / "classify" / "areas" / "provenance.json").write_text("{")
    (tmp_path / "classify" / "empty").mkdir()
    (tmp_path / "graphs" / "empty").mkdir(parents=True)
    (only,) = run_status(tmp_path)
    assert only.product == "classify/areas" and only.state == "stale" and "cannot be read" in only.reasons[0]


def test_status_of_no_run(tmp_path):
    with pytest.raises(MissingStageError, match=r"no run.*build-graph"):
        run_status(tmp_path / "nowhere")
