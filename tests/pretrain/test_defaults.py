"""What pretraining takes from the data: spheres with 2.5 mm of cortex, and others as they might be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.core.tables import Table
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.defaults import from_data
from cytomesh.pretrain.export_bank import export_run
from cytomesh.pretrain.job import open_data
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCEConfig
from cytomesh.pretrain.run import pretrain_run
from tests.pretrain.pretrain_study import SPACING_MM, UM_PER_PX, write_run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(write_run(tmp_path_factory.mktemp("run")), PretrainConfig())


def chosen(data, *overrides, device="cpu", thickness=2.5, um_per_px=20.0, spacing=0.5):
    """The settings that come of data like these, by default of thin sections; what was said of them."""
    graphs = []
    for graph in data.graphs:
        columns = {**graph.nodes.columns, "thickness_mm": np.full(graph.n_nodes, thickness)}
        graphs.append(replace(graph, nodes=Table(columns)))
    sections = []
    for part in data.pool.sections:
        to_world = part.section.plane.to_world.copy()
        to_world[:, 2] *= spacing / SPACING_MM
        plane = replace(part.section.plane, to_world=to_world)
        sections.append(replace(part, section=replace(part.section, um_per_px=um_per_px, plane=plane)))
    said = []
    settings = load_config(PretrainConfig, None, overrides)
    found = from_data(settings, replace(data.pool, sections=tuple(sections)), graphs, device, said.append)
    return found, [line.strip() for line in said]


def test_all_is_chosen_and_said_with_its_reason(data):
    found, said = chosen(data)
    assert said == [
        "encoder.name: resnet18 (on a CPU)",
        "patches.um_per_px: 31.2 (cortex of 2.5 mm in at most 128 px)",
        "patches.size_px: 128 (4 mm for cortex of 2.5 mm)",
        "objectives.spatial_nce.sigma_mm: 3 (cortex of 2.5 mm)",
    ]
    assert (found.encoder.name, found.patches.size_px, found.patches.um_per_px) == ("resnet18", 128, 31.2)
    spatial = found.objectives.of(SpatialNCEConfig)
    assert (spatial.sigma_mm, spatial.reach_mm, found.sampling.radius_mm) == (3.0, 9.0, 6.0)
    assert found == chosen(data)[0]
    assert PretrainConfig.model_validate(found.model_dump()) == found


@pytest.mark.parametrize(
    ("device", "thickness", "um_per_px", "size", "um"),
    [
        ("cuda", 2.5, 1.0, 256, 15.6),  # 4 mm in as many pixels as a GPU takes
        ("cuda", 2.5, 20.0, 192, 20.0),  # no finer than the images
        ("cpu", 0.9, 1.0, 128, 11.2),  # a mouse
        ("cpu", 2.5, 250.0, 32, 250.0),  # coarse images: more than is asked for
    ],
)
def test_patches_show_the_cortex_at_a_pixel_size_that_there_is(data, device, thickness, um_per_px, size, um):
    found, _ = chosen(data, device=device, thickness=thickness, um_per_px=um_per_px)
    assert (found.patches.size_px, found.patches.um_per_px) == (size, pytest.approx(um, rel=0.01))
    assert size * um / 1000 >= 1.5 * thickness


def test_the_kernel_spans_neighbouring_sections(data):
    assert chosen(data, spacing=3.8)[0].objectives.of(SpatialNCEConfig).sigma_mm == 3.8
    assert chosen(data, spacing=0.02)[0].objectives.of(SpatialNCEConfig).sigma_mm == 3.0
    assert chosen(data, spacing=0.02, thickness=0.9)[0].sampling.radius_mm == pytest.approx(2.2)


def test_what_is_given_stays(data):
    given = [
        "encoder.name=test_resnet",
        "patches={size_px: 64, um_per_px: 62.5}",
        "sampling.radius_mm=5",
        "objectives={spatial_nce: {sigma_mm: 2, reach_mm: 8}}",
    ]
    found, said = chosen(data, *given)
    assert found == load_config(PretrainConfig, None, given) and said == []
    found, said = chosen(
        data, *given[:1], "patches.size_px=224", "objectives={spatial_nce: {sigma_mm: 2}}", um_per_px=1
    )
    assert (found.patches.size_px, found.patches.um_per_px) == (224, 17.9) and len(said) == 1
    assert (found.objectives.of(SpatialNCEConfig).reach_mm, found.sampling.radius_mm) == (6.0, 4.0)
    found, _ = chosen(data, "patches.um_per_px=10", "encoder.patch_size=14", "objectives={simclr: {}}", "views=2")
    assert found.patches.size_px == 406 and found.sampling.radius_mm == 6.0  # 29 tokens of 14 px


def test_cortex_without_thickness_needs_settings(data):
    with pytest.raises(ConfigError, match=r"no thickness at any node.*set patches.size_px"):
        chosen(data, thickness=0.0)


def test_bare_training_and_export_record_the_same_choice(tmp_path):
    run = write_run(tmp_path)
    bare = load_config(PretrainConfig, None, ["schedule.steps=0"])
    pretrain_run(run, "bare", bare)
    record = load_config(PretrainConfig, run / "encoders" / "bare" / "config.yaml")
    assert (record.encoder.name, record.patches.size_px, record.patches.um_per_px) == ("resnet18", 32, UM_PER_PX)
    assert record.objectives.of(SpatialNCEConfig).sigma_mm == SPACING_MM
    weights = run / "encoders" / "bare" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    pretrain_run(run, "bare", bare)  # finished: kept
    assert weights.stat().st_mtime_ns == before
    bank = export_run(run, bare, workers=1)["bank"]
    size = 32 + 2 * record.patches.border_px
    assert np.load(next(Path(bank).glob("0*.npy")), mmap_mode="r").shape[-2:] == (size, size)


def test_patches_finer_than_the_images_are_said(data):
    size = ("patches.size_px=64", "patches.um_per_px=10")
    assert "patches.um_per_px: 10 is finer than the images, 20: interpolated" in chosen(data, *size)[1]
    assert not [line for line in chosen(data, *size, um_per_px=10.1)[1] if "finer" in line]
