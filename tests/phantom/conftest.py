from pathlib import Path

import pytest

from cytomesh.phantom.config import AreaConfig, GeometryConfig, PhantomBrainConfig, PhantomConfig, SectionConfig
from cytomesh.phantom.geometry import PhantomCortex, template
from cytomesh.phantom.write import write_phantom


@pytest.fixture(scope="session")
def small_settings() -> PhantomConfig:
    """Two brains of six or seven coarse sections: all that the tests of files need."""
    return PhantomConfig(
        name="small",
        brains=(PhantomBrainConfig(id="S01", role="train"), PhantomBrainConfig(id="S02", role="unseen")),
        geometry=GeometryConfig(transform_mm=15),
        areas=AreaConfig(count=12, pmap_mm=5, pmap_smoothing_mm=4),
        sections=SectionConfig(
            um_per_px=250, annotation_um_per_px=500, truth_um_per_px=250, distance_um=500, spacing_mm=20
        ),
    )


@pytest.fixture(scope="session")
def cortex() -> PhantomCortex:
    return template("L")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, small_settings: PhantomConfig) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, small_settings, workers=1)
    return folder
