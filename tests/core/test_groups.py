import os

import pytest

from cytomesh.core import groups
from cytomesh.core.groups import memory_limit, processor_quota
from cytomesh.core.parallel import available_cpus


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """An empty tree of control groups; write `own` for the groups of this process."""
    monkeypatch.setattr(groups, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(groups, "OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))

    def write(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return write


@pytest.mark.parametrize(
    ("quota", "granted"), [("max 100000", 16), ("400000 100000", 4), ("150000 100000", 2), ("5000 100000", 1)]
)
def test_processors_of_a_quota(tree, quota, granted):
    tree("0::/slurm/job\n", {"slurm/job/cpu.max": quota, "slurm/cpu.max": "1200000 100000"})
    assert available_cpus() == min(granted, 12)


@pytest.mark.parametrize("quota", ["", "max", "max max", "400000", "400000 0", "400000 x", "-1 100000", "1 2 3"])
def test_a_quota_that_is_none_is_no_limit(tree, quota):
    tree("0::/\n", {"cpu.max": quota})
    assert processor_quota() is None


def test_the_tightest_group_above_counts(tree):
    tree("0::/slurm/job\n", {"slurm/job/cpu.max": "800000 100000", "slurm/cpu.max": "300000 100000"})
    assert (processor_quota(), available_cpus()) == (3.0, 3)


@pytest.mark.parametrize(("quota", "granted"), [("-1", 16), ("250000", 3)])
def test_version_1(tree, quota, granted):
    own = "3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"
    place = "cpu,cpuacct/docker/abc/cpu.cfs_"
    files = {f"{place}quota_us": quota, f"{place}period_us": "100000"}
    tree(own, files | {"memory/docker/abc/memory.limit_in_bytes": "1073741824"})
    assert available_cpus() == granted
    assert memory_limit() == 2**30


def test_a_group_that_is_seen_from_inside_its_container(tree):
    # the path is the host's, the tree begins at the container's own group
    tree("2:cpu:/docker/abc\n", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"})
    assert available_cpus() == 2


def test_no_groups(tree):
    assert (processor_quota(), memory_limit(), available_cpus()) == (None, None, 16)


def test_a_quota_above_the_affinity_changes_nothing(tree):
    tree("0::/\n", {"cpu.max": "6400000 100000"})
    assert available_cpus() == 16
