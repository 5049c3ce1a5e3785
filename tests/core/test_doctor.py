"""What `cytomesh doctor` finds, on this installation and on ones that are made to be wrong."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cytomesh.core import doctor, groups
from cytomesh.core.doctor import Finding, findings_table
from cytomesh.core.extras import EXTRAS
from cytomesh.core.parallel import THREAD_VARIABLES
from cytomesh.core.torch_facts import torch_facts

ROOT = Path(__file__).parents[2]
GPU = {"name": "H100", "gib": 80.0, "free_gib": 70.0, "fault": ""}
BROKEN = GPU | {"fault": "no kernel image"}
TORCH = {"faults": {}, "cuda": "13.0", "warnings": [], "devices": [GPU], "nccl": "2.30.7", "nccl_fault": ""}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Install a package, of its metadata and one module, before those that are there."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, version, *requires, module=None):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {item}" for item in requires)]
        (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
        if module is not None:
            (tmp_path / f"{name}.py").write_text(module)

    return install


@pytest.fixture
def no_thread_settings(monkeypatch):
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A control group two levels down, and what is written there."""
    own = tmp_path / "groups" / "slurm" / "job"
    own.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/slurm/job\n")
    monkeypatch.setattr(groups, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(groups, "OWN_GROUP", tmp_path / "own")
    return own


def levels(findings):
    return {item.subject: item.level for item in findings}


def test_this_installation_has_what_it_requires():
    found = list(doctor.packages())
    assert set(levels(found).values()) == {"ok"}
    assert {"python", "cytomesh", "torch", "torchvision", "timm", "numpy", "requirements"} <= set(levels(found))


def test_a_package_of_another_version_is_a_problem(site):
    site("numpy", "1.0")
    found = {item.subject: item for item in doctor.packages()}["requirements"]
    assert found.level == "problem" and "numpy is 1.0, not >=1.26" in found.found and "pip install" in found.advice


def test_a_torchvision_for_another_torch_is_a_problem(site):
    (there,) = doctor.match(TORCH)
    assert there.level == "ok"
    site("torchvision", "0.20.0", "torch (==2.5.0)", "absent; extra == 'x'")
    (found,) = doctor.match(TORCH)
    assert found.level == "problem" and "torchvision with torch is" in found.found and "not ==2.5.0" in found.found
    (found,) = doctor.match({"faults": {"timm": "RuntimeError: no torchvision::nms"}})
    assert "timm: RuntimeError: no torchvision::nms" in found.found


def test_extras_of_what_is_required_are_required(site):
    site("one", "2.0", "two>=3; extra == 'fast'", "three; extra == 'slow'")
    assert doctor.unmet([Requirement("one")]) == []
    assert doctor.unmet([Requirement("one[fast]")]) == ["two is not installed"]
    site("two", "2.5")
    assert doctor.unmet([Requirement("one[fast]")]) == ["two is 2.5, not >=3"]


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import os; os._exit(7)", "ends at once"),
        ("raise OSError('libcudart.so.99: no such file')", "OSError: libcudart.so.99"),
    ],
)
def test_a_torch_that_cannot_be_loaded_is_a_finding_and_not_the_end(site, module, said):
    site("torch", "9.0", module=module)
    facts = torch_facts()
    assert list(facts) == ["faults"] and said in facts["faults"]["torch"]
    assert [item.level for item in doctor.match(facts)] == ["problem"]
    assert list(doctor.devices(facts, has_driver=True)) == []


@pytest.mark.parametrize(
    ("facts", "has_driver", "expected"),
    [
        ({}, True, {"GPU 0": "ok", "NCCL": "ok"}),
        (
            {"devices": [GPU, GPU | {"fault": "no kernel image"}]},
            True,
            {"GPU 0": "ok", "GPU 1": "problem", "NCCL": "ok"},
        ),
        ({"nccl": ""}, True, {"GPU 0": "ok", "NCCL": "note"}),
        ({"nccl": "", "devices": [GPU, GPU]}, True, {"GPU 0": "ok", "GPU 1": "ok", "NCCL": "problem"}),
        ({"nccl_fault": "no shared memory"}, True, {"GPU 0": "ok", "NCCL": "problem"}),
        ({"devices": []}, False, {"GPU": "note"}),
        ({"devices": [], "cuda": None}, False, {"GPU": "note"}),
        ({"devices": [], "cuda": None}, True, {"GPU": "problem"}),
        ({"devices": []}, True, {"GPU": "problem"}),
        ({"devices": [], "warnings": ["driver too old"]}, True, {"CUDA": "problem", "GPU": "note"}),
    ],
)
def test_devices(facts, has_driver, expected, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = list(doctor.devices(TORCH | facts, has_driver))
    assert levels(found) == expected
    assert all(item.advice for item in found if item.level != "ok")


def test_devices_that_are_hidden_on_purpose_are_a_note(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (found,) = doctor.devices(TORCH | {"devices": []}, has_driver=True)
    assert found.level == "note" and "CUDA_VISIBLE_DEVICES is ''" in found.found


def test_memory_is_what_the_job_may_take(group):
    (group / "memory.max").write_text("max\n")
    assert "allowed" not in doctor.memory().found
    (group.parent / "memory.max").write_text(str(2**29))
    found = doctor.memory()
    assert found.level == "problem" and "0.5 GiB allowed for this job" in found.found


def test_disk_of_a_folder_that_is_there_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "DISK_GIB", (0.0, 1e-6))
    found = doctor.disk(tmp_path / "runs" / "new")
    assert found.level == "ok" and found.found.endswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(doctor, "DISK_GIB", (1.0, 1e9))
    assert doctor.disk(tmp_path).level == "note"
    monkeypatch.setattr(doctor, "DISK_GIB", (1e9, 2e9))
    assert doctor.disk(tmp_path).level == "problem"


def test_a_folder_that_takes_no_files_is_a_problem():
    found = doctor.disk(Path("/proc/self"))
    assert found.level == "problem" and "cannot be written to" in found.found


@pytest.mark.parametrize("value", ["4096", "4096,2", "all", "0"])
def test_threads_beyond_the_processors(value, no_thread_settings, group, monkeypatch):
    monkeypatch.setattr(doctor, "available_cpus", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    found = {item.subject: item for item in doctor.processors()}["threads"]
    assert found.level == "problem" and f"OMP_NUM_THREADS={value}" in found.found


def test_one_thread_of_many_processors_is_a_note(no_thread_settings, group, monkeypatch):
    monkeypatch.setattr(doctor, "available_cpus", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert levels(doctor.processors()) == {"processors": "ok", "threads": "note"}


def test_processors_of_which_only_some_time_is_given(no_thread_settings, group, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert levels(doctor.processors()) == {"processors": "ok", "threads": "ok"}
    (group.parent / "cpu.max").write_text("max 100000\n")
    (group / "cpu.max").write_text("400000 100000\n")
    found, _ = doctor.processors()
    assert found.found.startswith("4 of ") and "the time of 4 is granted" in found.found
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert levels(doctor.processors())["threads"] == "problem"


def test_every_extra_has_a_purpose():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(declared) - {"all", "bench", "dev", "docs"}


def test_what_extras_that_are_missing_are_for():
    code = "from tests.without_extras import hide_extras; hide_extras(); from cytomesh.core import doctor"
    code += "; print(doctor.findings_table(list(doctor.extras())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    start = lines.index("note [report] matplotlib is not installed, plotly is not installed, pyvista is not installed")
    assert lines[start + 1] == f"-> needed for {EXTRAS['report']}: pip install 'cytomesh[report]'"
    for name in ("phantom", "leiden", "tensorboard"):
        assert any(line.startswith(f"note [{name}]") for line in lines)
    assert any(line.startswith("ok [openslide]") for line in lines)


def test_workbench(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor.workbench()
    assert found.level == "note" and "no wb_command" in found.found and found.advice
    program = tmp_path / "wb_command"
    program.write_text("#!/bin/sh\necho 'Connectome Workbench'\necho 'Version: 9.8.7'\n")
    program.chmod(0o755)
    assert doctor.workbench() == Finding("Workbench", "ok", f"9.8.7, {program}")
    program.write_text("#!/bin/sh\nexit 3\n")
    assert doctor.workbench().level == "note"


def test_table():
    found = [Finding("disk", "problem", "full", "make room"), Finding("memory", "ok", "much")]
    assert findings_table(found).splitlines() == [
        "problem  disk    full",
        "                 -> make room",
        "ok       memory  much",
        "1 problem, 0 notes",
    ]
