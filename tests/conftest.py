"""What many tests share: real data, small graphs, the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import settings

from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import hush, speak
from cytomesh.core.tables import Table
from cytomesh.graph.storage import CortexGraph
from cytomesh.surface.mesh import Mesh
from tests.dask_cluster import DaskCluster
from tests.processes import run_ranks
from tests.s3_server import S3Server, s3_server
from tests.web_server import WebServer, web_server

if TYPE_CHECKING:
    from tests.provenance_chain import Chain

REPOSITORY = Path(__file__).parents[1]
# the first example of a test may import or compile: what is slow is found by the timeout of the test
settings.register_profile("cytomesh", deadline=None)
settings.load_profile("cytomesh")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests: of several processes, none is left alone with them at the end.

    Ranks of one machine, and what makes up a cluster, talk over its loopback; no other test has sockets.
    """
    for item in items:
        if {"gloo", "dask_cluster", "own_dask_cluster", "web", "s3"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin with what many tests share, and with it numba's caches, while the processes of the suite collect tests."""
    config = session.config
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if is_whole and config.getoption("numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        folder = shared_folder(config._tmp_path_factory)  # its fixture is not to be had yet
        making = subprocess.Popen([sys.executable, "-m", "tests.provenance_chain", str(folder)], cwd=REPOSITORY)
        config.add_cleanup(making.wait)


@pytest.fixture
def web(tmp_path) -> Iterator[WebServer]:
    """A web server that shows the folder `web` of the test's own."""
    (tmp_path / "web").mkdir()
    with web_server(tmp_path / "web") as server:
        yield server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """A real S3 server, of a module's own; skipped where moto, or s3fs, is not installed."""
    with s3_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _as_the_program() -> Iterator[None]:
    """Show log lines on standard error, where tests look for them; a test's own `speak` ends with it."""
    speak()
    yield
    hush()


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """Fail where a test leaves more threads behind: on busy machines they slow down all that follow, twenty times."""
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data; tests that use it carry the marker `real`."""
    folder = Path(os.environ.get("CYTOMESH_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "bigbrain").is_dir():
        pytest.skip(f"no real data at {folder} (set CYTOMESH_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study of two small brains, see `provenance_chain.write_study`; to be copied before it is changed."""
    from tests.provenance_chain import shared_study

    return shared_study(shared_folder(tmp_path_factory))


@pytest.fixture(scope="session")
def small_chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """All stages on the small study, as commands make them; the folder of both is to be copied before it is changed."""
    from tests.provenance_chain import shared_chain

    return shared_chain(shared_folder(tmp_path_factory))


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what the processes of a suite share."""
    own = factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "small"


@pytest.fixture
def gloo() -> Callable[..., None]:
    """Run a function in several real processes with real sockets, see `processes.run_ranks`."""
    return run_ranks


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A Dask cluster that the tests of a file share, see `dask_cluster.DaskCluster`."""
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"))
    yield cluster
    cluster.stop()


@pytest.fixture
def own_dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A Dask cluster that may be damaged."""
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"))
    yield cluster
    cluster.stop()


@pytest.fixture
def cytomesh(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: (exit code, standard output, standard error)."""

    from cytomesh.cli.app import main

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def sphere_mesh(subdivisions: int = 3, radius_mm: float = 50.0) -> Mesh:
    """An icosphere, 10 * 4**subdivisions + 2 vertices."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius_mm)
    return Mesh(sphere.vertices, sphere.faces)


def sphere_graph(
    brain: str = "B01",
    hemisphere: str = "L",
    role: str = "train",
    subdivisions: int = 3,
    n_areas: int = 6,
    seed: int = 0,
) -> CortexGraph:
    """A graph on a sphere whose areas are the Voronoi cells of random points; coronal sections 8 mm apart.

    Sections take the roles train, train, train, val, test in turn; the outermost 4 mm at each pole are unlinked.
    """
    mesh = sphere_mesh(subdivisions)
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_areas, 3))
    centres *= 50.0 / np.linalg.norm(centres, axis=1, keepdims=True)
    area = np.argmin(((mesh.vertices[:, None] - centres[None]) ** 2).sum(-1), axis=1) + 1
    section = np.round((mesh.vertices[:, 1] + 50.0) / 8.0).astype(np.int32)
    is_linked = np.abs(mesh.vertices[:, 1]) < 46.0
    section[~is_linked] = -1
    roles = np.array(["train", "train", "train", "val", "test"])[section % 5]
    n = mesh.n_vertices
    columns = {
        **{name: mesh.vertices[:, i] for i, name in enumerate(("x_mm", "y_mm", "z_mm"))},
        **{name: mesh.vertices[:, i] for i, name in enumerate(("ref_x_mm", "ref_y_mm", "ref_z_mm"))},
        "section": section,
        "column_px": (mesh.vertices[:, 0] + 60.0) / 0.25,
        "row_px": (60.0 - mesh.vertices[:, 2]) / 0.25,
        "angle_deg": np.degrees(np.arctan2(mesh.vertices[:, 2], mesh.vertices[:, 0])),
        "obliqueness_deg": np.degrees(np.arcsin(np.abs(mesh.vertices[:, 1]) / 50.0)),
        "distance_mm": np.zeros(n),
        "is_linked": is_linked,
        "link_reason": np.where(is_linked, "", "no section within 4 mm"),
        "section_role": np.where(is_linked, roles, "none"),
        "annotation": np.where(is_linked, area, 0).astype(np.int32),
        "thickness_mm": np.full(n, 2.5),
        "curvature_per_mm": np.full(n, 1 / 50.0),
        "area_mm2": mesh.vertex_areas,
    }
    labels = LabelTable.from_names([f"A{i:02d}" for i in range(1, n_areas + 1)])
    return CortexGraph(brain, hemisphere, role, mesh, Table(columns), labels)
