"""Features: of every linked node, the same bytes for any number of ranks, resumed by section."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pretrain_study import write_run
from safetensors.torch import load_file, save_file

from cytomesh.core.config import load_config
from cytomesh.core.distributed import world
from cytomesh.core.errors import DamagedError, FeatureError, ImageError, MissingStageError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.provenance import read_record
from cytomesh.core.run import read_study_path
from cytomesh.graph.features import load_features
from cytomesh.graph.freshness import record_path
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain import embed, encode
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import load_encoder
from cytomesh.pretrain.export_bank import export_run
from cytomesh.pretrain.pool import SectionPatches, graph_sections
from cytomesh.pretrain.run import pretrain_run
from cytomesh.report.status import run_status
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.study import open_study

TINY = Path(__file__).parents[2] / "configs" / "pretrain" / "tiny.yaml"
SETTINGS = EmbedConfig(batch_size=10, device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("embed"))
    overrides = ["schedule.steps=0", "schedule.warmup_steps=0", "device=cpu", "threads=1"]
    for name in ("one", "two", "half", "damaged", "failing", "extracted", "remote"):
        pretrain_run(run, name, load_config(PretrainConfig, TINY, overrides))
    embed.embed_run(run, "one", SETTINGS)
    return run


def test_every_linked_node_has_the_feature_of_its_patch(run):
    encoder = load_encoder(run / "encoders" / "one")
    for graph in load_graphs(run):
        features = load_features(run, "one", graph)
        assert features.shape == (graph.n_nodes, encoder.dim)
        assert features.dtype == np.float32
        assert np.isnan(features[~graph.is_linked]).all()
        node = np.flatnonzero(graph.is_linked)[11]
        image = run.parent / "study" / graph.brain / f"{graph.section[node]}.png"
        pixel = graph.nodes.stack(["column_px", "row_px"])[[node]]
        with open_image(image) as opened:
            patch = read_patches(opened, 500.0, pixel, graph.nodes["angle_deg"][[node]], 32, 125.0)
        expected = encoder.embed(torch.from_numpy(patch))[0].numpy()
        np.testing.assert_allclose(features[node], expected, rtol=1e-4, atol=1e-5)


def test_two_ranks_write_the_same_bytes(run, gloo):
    gloo(embed.embed_run, 2, run, "two", SETTINGS)
    for graph in load_graphs(run):
        one, two = ((run / "features" / name / f"{graph.name}.npy").read_bytes() for name in ("one", "two"))
        assert one == two


def test_what_was_extracted_is_not_read_from_images_and_gives_the_same_bytes(run, monkeypatch):
    bank = Path(export_run(run, load_config(PretrainConfig, TINY, []), workers=1)["bank"])
    read = []

    def noted(image, *arguments):
        read.append(image.path.parent.name)
        return read_patches(image, *arguments)

    monkeypatch.setattr(embed, "read_patches", noted)
    embed.embed_run(run, "extracted", SETTINGS)
    assert set(read) == {"T03"}  # no encoder is trained on it
    for graph in load_graphs(run):
        one, two = ((run / "features" / name / f"{graph.name}.npy").read_bytes() for name in ("one", "extracted"))
        assert one == two
    (bank / "000002.npy").write_bytes(b"")
    with pytest.raises(DamagedError, match=r"000002\.npy"):
        embed.embed_run(run, "extracted", SETTINGS, resume=False)
    index = read_json(bank / "bank.json")
    write_json(bank / "bank.json", {name: value for name, value in index.items() if name != "cut"})
    embed.embed_run(run, "extracted", SETTINGS, resume=False)
    assert set(read) == {"T01", "T02", "T03"}  # a bank that does not say how it was cut is passed over
    read.clear()
    shutil.rmtree(bank)
    embed.embed_run(run, "extracted", SETTINGS, resume=False)
    assert set(read) == {"T01", "T02", "T03"}


def test_what_was_extracted_to_an_address_gives_the_same_bytes(run, web, monkeypatch):
    bank = Path(export_run(run, load_config(PretrainConfig, TINY, []), workers=1)["bank"])
    (web.folder / "banks").mkdir()
    shutil.move(bank, web.folder / "banks" / bank.name)
    there = load_config(PretrainConfig, TINY, [f"patches.bank_address={web.url}/banks"])
    assert export_run(run, there, workers=1)["bank"] == f"{web.url}/banks/{bank.name}"
    brains = set()

    def noted(image, *arguments):
        brains.add(image.path.parent.name)
        return read_patches(image, *arguments)

    monkeypatch.setattr(embed, "read_patches", noted)
    embed.embed_run(run, "remote", SETTINGS)
    assert brains == {"T03"}
    for graph in load_graphs(run):
        one, two = ((run / "features" / name / f"{graph.name}.npy").read_bytes() for name in ("one", "remote"))
        assert one == two
    (web.folder / "banks" / bank.name / "000002.npy").write_bytes(b"")
    with pytest.raises(DamagedError, match=rf"{web.url}/banks/{bank.name}/000002\.npy: found 0 bytes"):
        embed.embed_run(run, "remote", SETTINGS, resume=False)
    shutil.rmtree(bank)


def test_finished_features_are_kept_and_missing_sections_are_done(run, monkeypatch):
    path = run / "features" / "one" / "T02_hemi-L.npy"
    before, others = path.read_bytes(), run / "features" / "one" / "T01_hemi-L.npy"
    written = others.stat().st_mtime_ns
    path.unlink()
    done = []
    compute = embed._embed_piece

    def stop_after_two(piece, *arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(piece.part.section.index)
        return compute(piece, *arguments)

    monkeypatch.setattr(embed, "_embed_piece", stop_after_two)
    monkeypatch.setattr(embed, "available_cpus", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        embed.embed_run(run, "one", SETTINGS)
    monkeypatch.setattr(embed, "_embed_piece", lambda *arguments: (done.append(9), compute(*arguments))[1])
    embed.embed_run(run, "one", SETTINGS)
    assert len(done) == 6  # two sections before, the other four after
    assert path.read_bytes() == before
    assert others.stat().st_mtime_ns == written
    assert not list((run / "features" / "one").glob(".sections-*"))


def test_half_precision(run):
    embed.embed_run(run, "half", EmbedConfig(batch_size=10, device="cpu", dtype="float16"))
    graph = load_graphs(run)[0]
    half, single = load_features(run, "half", graph), load_features(run, "one", graph)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, np.asarray(single).astype(np.float16))


def test_bfloat16_points_the_same_way_and_is_recorded(run):
    """Features made before there was the choice are those of float32, and stay current."""
    embed.embed_run(run, "half", EmbedConfig(batch_size=10, device="cpu", precision="bfloat16"))
    for graph in load_graphs(run):
        single, half = (load_features(run, name, graph)[graph.is_linked] for name in ("one", "half"))
        assert not np.array_equal(single, half)
        one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (single, half))
        assert (one * other).sum(axis=1).min() > 0.999
        facts = read_json(run / "features" / "half" / f"{graph.name}.json")
        assert facts["precision"] == "bfloat16"
        records = [read_record(record_path(run, f"features/{name}/{graph.name}")) for name in ("one", "half")]
        found = [{"precision", "compile"} & set(record.inputs.settings) for record in records]
        assert found == [set(), {"precision"}]


def test_rotations_are_averaged(run):
    settings = EmbedConfig(batch_size=10, device="cpu", rotations=3, rotation_deg=20.0)
    embed.embed_run(run, "half", settings)
    encoder, graph = load_encoder(run / "encoders" / "half"), load_graphs(run)[0]
    node = np.flatnonzero(graph.is_linked)[11]
    image = run.parent / "study" / graph.brain / f"{graph.section[node]}.png"
    pixel, angle = graph.nodes.stack(["column_px", "row_px"])[[node]], graph.nodes["angle_deg"][[node]]
    features = []
    for offset in (-20.0, 0.0, 20.0):
        with open_image(image) as opened:
            patch = read_patches(opened, 500.0, pixel, angle + offset, 32, 125.0)
        features.append(encoder.embed(torch.from_numpy(patch))[0].numpy())
    np.testing.assert_allclose(load_features(run, "half", graph)[node], np.mean(features, axis=0), rtol=1e-3, atol=1e-4)
    assert embed.offsets_deg(EmbedConfig(rotations=4, rotation_deg=180.0)) == [-180.0, -90.0, 0.0, 90.0]


def test_batches_are_small_where_patches_are_large(run, monkeypatch):
    monkeypatch.setitem(encode.BATCH_PX, "cpu", 3 * 32**2 + 7)
    sizes, compute = [], PatchEncoder.embed

    def count(encoder, patches):
        sizes.append(len(patches))
        return compute(encoder, patches)

    monkeypatch.setattr(PatchEncoder, "embed", count)
    embed.embed_run(run, "half", SETTINGS, resume=False)
    graph = load_graphs(run)[0]
    assert max(sizes) == 3
    assert sum(sizes) == sum(int(graph.is_linked.sum()) for graph in load_graphs(run))
    half, whole = load_features(run, "half", graph), load_features(run, "one", graph)
    np.testing.assert_allclose(half, whole, rtol=1e-4, atol=1e-5)


def test_sections_come_in_order_whatever_the_number_of_threads(run):
    study, encoder = open_study(read_study_path(run)), load_encoder(run / "encoders" / "one")
    parts = [part for graph in load_graphs(run) for part in graph_sections(study, graph)]
    with world("cpu", threads=1):
        one, three = (list(embed.embed_sections(parts, encoder, SETTINGS, n_cpus)) for n_cpus in (1, 3))
    assert [len(features) for features in one] == [len(part.rows) for part in parts]
    for a, b in zip(one, three, strict=True):
        assert a.tobytes() == b.tobytes()


def test_features_that_are_not_finite_name_section_and_node(run):
    path = run / "encoders" / "damaged" / "model.safetensors"
    state = load_file(path)
    name = next(key for key in state if key.endswith("weight"))
    state[name].view(-1)[0] = float("nan")
    save_file(state, path)
    with pytest.raises(FeatureError, match=r"T01 section \d+, node \d+ of T01_hemi-L.*not finite"):
        embed.embed_run(run, "damaged", SETTINGS, allow_stale=True)
    assert not (run / "features" / "damaged" / "T01_hemi-L.npy").exists()


def test_unknown_encoder_names_those_there_are(run):
    with pytest.raises(MissingStageError, match="damaged, extracted, failing, half, one, remote, two"):
        embed.embed_run(run, "three", SETTINGS)


@pytest.mark.parametrize(("n_channels", "in_chans", "said"), [(1, 3, "grey images are repeated"), (3, 1, "luminance")])
def test_images_are_brought_into_the_channels_of_the_encoder(tmp_path, cytomesh, n_channels, in_chans, said):
    """Through the command line: as an encoder sees images that somebody has converted with Pillow."""
    run = write_run(tmp_path, n_channels=n_channels)
    options = ["--set", f"encoder.in_chans={in_chans}", "--set", "schedule.steps=2", "--set", "schedule.warmup_steps=1"]
    code, _, err = cytomesh("pretrain", "--out", run, "--name", "other", "--config", TINY, *options)
    assert code == 0 and said in err
    code, _, err = cytomesh("embed", "--out", run, "--encoder", "other")
    assert code == 0 and f"other: {'grey' if in_chans == 3 else 'RGB'} images are" in err
    encoder, graph = load_encoder(run / "encoders" / "other"), load_graphs(run)[0]
    assert encoder.config.in_chans == in_chans
    node = np.flatnonzero(graph.is_linked)[11]
    image = run.parent / "study" / graph.brain / f"{graph.section[node]}.png"
    Image.open(image).convert("RGB" if in_chans == 3 else "L").save(tmp_path / "converted.png")
    pixel = graph.nodes.stack(["column_px", "row_px"])[[node]]
    with open_image(tmp_path / "converted.png") as opened:
        patch = read_patches(opened, 500.0, pixel, graph.nodes["angle_deg"][[node]], 32, 125.0)
    assert patch.shape[1] == in_chans
    expected = encoder.embed(torch.from_numpy(patch))[0].numpy()
    # luminance is rounded to whole levels by Pillow, and not here
    np.testing.assert_allclose(load_features(run, "other", graph)[node], expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("suffix", [".tif", "-tiles.tif", "-flat.zarr", ".zarr"])
def test_the_same_pixels_give_the_same_features_in_every_format(run, tmp_path, suffix):
    """To the bit: from PNG, plain and tiled TIFF, OME-Zarr without and with levels; finer than the patches."""
    encoder = load_encoder(run / "encoders" / "one")
    side = 700
    array = np.random.default_rng(3).integers(0, 256, (side, side), np.uint8)
    png, other = tmp_path / "a.png", tmp_path / f"a{suffix}"
    Image.fromarray(array).save(png)
    if suffix.endswith(".zarr"):
        write_ome_zarr(other, array, 30.0, n_levels=1 if suffix == "-flat.zarr" else None)
    else:
        tifffile.imwrite(other, array, tile=(64, 64) if suffix == "-tiles.tif" else None)
    rng = np.random.default_rng(4)
    pixels, angles = rng.uniform(0, side, (20, 2)), rng.uniform(0, 360, 20)
    section = Section("B01", 1, None, 30.0, SectionPlane(np.array([[0.03, 0, 0], [0, 0, 0], [0, -0.03, 0]])))
    features = []
    for path in (png, other):
        part = SectionPatches(replace(section, image=path), path, pixels, angles, np.arange(20))
        (found,) = embed.embed_sections([part], encoder, SETTINGS, 1)
        features.append(found)
    np.testing.assert_array_equal(*features)


def test_status_tells_of_a_failed_embedding_and_how_long_one_took(run, monkeypatch):
    summary = embed.embed_run(run, "half", SETTINGS, resume=False)
    assert summary["sections_embedded"] == len({(g.brain, s) for g in load_graphs(run) for s in g.section if s >= 0})
    names = [f"features/half/{graph.name}" for graph in load_graphs(run)]
    before = {status.product: status for status in run_status(run)}
    assert all(before[name].state == "done" and before[name].seconds > 0 for name in names)

    def fail(*_):
        raise ImageError("07.png", found="a truncated image")

    with monkeypatch.context() as patched, pytest.raises(ImageError):
        patched.setattr(embed, "read_patches", fail)
        embed.embed_run(run, "failing", SETTINGS)
    failed = {status.product: status for status in run_status(run)}[f"features/failing/{load_graphs(run)[0].name}"]
    assert failed.state == "failed" and failed.reasons == ("07.png: found a truncated image",)
    embed.embed_run(run, "failing", SETTINGS)
    assert {s.state for s in run_status(run) if s.product.startswith("features/failing/")} == {"done"}
