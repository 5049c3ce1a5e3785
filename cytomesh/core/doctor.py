"""What this installation and this machine are fit for: a finding on each part, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cytomesh.core.counted import counted
from cytomesh.core.extras import EXTRAS
from cytomesh.core.groups import memory_limit, processor_quota
from cytomesh.core.parallel import THREAD_VARIABLES, available_cpus
from cytomesh.core.provenance import PACKAGES
from cytomesh.core.torch_facts import GIB, WITH_TORCH, torch_facts

MEMORY_GIB = (1.5, 6.0)
"""A human hemisphere at 0.33 mm voxels; the demo."""
DISK_GIB = (1.0, 8.0)
"""A small study and its run; installation and demo."""
DRIVER = Path("/proc/driver/nvidia/version")
WORKBENCH_S = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    subject : str
        What it is about: "torch", "disk".
    level : {"ok", "note", "problem"}
        `note`: something is slower, or one task is not possible; `problem`: cytomesh fails, or crawls.
    found : str
    advice : str
        What to do about it; of `ok` none.
    """

    subject: str
    level: Literal["ok", "note", "problem"]
    found: str
    advice: str = ""


def examine(folder: Path) -> list[Finding]:
    """Look at packages, devices, memory, processors, extras and other programs, and at the disk of a folder."""
    torch = torch_facts()
    return [
        *packages(),
        *match(torch),
        *devices(torch, has_driver=DRIVER.exists()),
        memory(),
        disk(folder),
        *processors(),
        *extras(),
        workbench(),
    ]


def findings_table(findings: list[Finding]) -> str:
    """Return one line a finding, and below those that are not ok what to do; problems are counted at the end."""
    width = max((len(item.subject) for item in findings), default=0)
    lines = []
    for item in findings:
        lines.append(f"{item.level:<7}  {item.subject:<{width}}  {item.found}")
        if item.advice:
            lines.append(f"{'':<7}  {'':<{width}}  -> {item.advice}")
    n = {level: sum(item.level == level for item in findings) for level in ("problem", "note")}
    return "\n".join([*lines, ", ".join(counted(count, level) for level, count in n.items())])


def packages() -> Iterator[Finding]:
    """Compare Python and the packages that cytomesh requires with what is installed."""
    yield Finding("python", "ok", f"{platform.python_version()}, {platform.platform()}")
    try:
        required = required_by("cytomesh")
        pythons = SpecifierSet(metadata("cytomesh")["Requires-Python"])
    except PackageNotFoundError:
        found = "it runs from a folder and is not installed: what it requires is not known"
        yield Finding("cytomesh", "note", found, "install it: pip install -e . in its checkout")
        return
    if not pythons.contains(platform.python_version(), prereleases=True):
        advice = "make an environment of such a version, and install cytomesh there"
        yield Finding("python", "problem", f"cytomesh is made for Python {pythons}", advice)
    for name in dict.fromkeys([*PACKAGES, *WITH_TORCH]):
        if there := _version(name):
            yield Finding(name, "ok", there)
    if faults := unmet(required):
        advice = "pip install --upgrade cytomesh, or a set that was tested: pip install -c constraints.txt cytomesh"
        yield Finding("requirements", "problem", ", ".join(faults), advice)
    else:
        yield Finding("requirements", "ok", f"all {len(required)} packages that cytomesh requires are there")


def match(torch: dict[str, Any]) -> Iterator[Finding]:
    """Say whether what is made for certain versions of torch fits this one: by what it says, and by importing it."""
    there = [name for name in WITH_TORCH if _version(name)]
    faults = [f"{name} with {fault}" for name in there for fault in unmet(required_by(name))]
    faults += [f"{name}: {fault}" for name, fault in torch["faults"].items()]
    if faults:
        advice = "install torch, torchvision and timm together: pip install -c constraints.txt torch torchvision timm"
        yield Finding("torch and its own", "problem", "; ".join(faults), advice)
    else:
        yield Finding("torch and its own", "ok", f"{', '.join(there)} fit torch {_version('torch')}")


def devices(torch: dict[str, Any], has_driver: bool) -> Iterator[Finding]:
    """Say what torch computes on, and whether several such devices could talk."""
    if "cuda" not in torch:  # torch does not load: said already
        return
    for line in torch["warnings"]:
        yield Finding("CUDA", "problem", line, "update the NVIDIA driver, or install torch for the CUDA of this one")
    if not torch["devices"]:
        advice = "pretraining of large encoders takes days without one; all else is made for processors, too"
        if torch["cuda"] is None and has_driver:
            found = "an NVIDIA driver is there, but this torch was built without CUDA"
            yield Finding("GPU", "problem", found, "install a torch with CUDA: see https://pytorch.org/get-started")
        elif has_driver and not torch["warnings"] and "CUDA_VISIBLE_DEVICES" not in os.environ:
            found = f"an NVIDIA driver is there, but torch (CUDA {torch['cuda']}) sees no device"
            yield Finding("GPU", "problem", found, "look at what nvidia-smi says, and whether the job was given a GPU")
        else:
            hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
            found = "none" if hidden is None or not has_driver else f"none: CUDA_VISIBLE_DEVICES is '{hidden}'"
            yield Finding("GPU", "note", found, advice)
        return
    for number, device in enumerate(torch["devices"]):
        found = f"{device['name']}, {device['gib']:.0f} GiB ({device['free_gib']:.0f} free), CUDA {torch['cuda']}"
        if device["fault"]:
            advice = "install a torch that was built for this device: see https://pytorch.org/get-started"
            yield Finding(f"GPU {number}", "problem", f"{found}: {device['fault']}", advice)
        else:
            yield Finding(f"GPU {number}", "ok", f"{found}; computes")
    if not torch["nccl"]:
        advice = "install a torch with NCCL; one GPU works without"
        yield Finding("NCCL", "note" if len(torch["devices"]) == 1 else "problem", "not in this torch", advice)
    elif torch["nccl_fault"]:
        advice = "set NCCL_DEBUG=INFO and call cytomesh doctor again: NCCL says what it lacks"
        yield Finding("NCCL", "problem", f"{torch['nccl']}: {torch['nccl_fault']}", advice)
    else:
        yield Finding("NCCL", "ok", f"{torch['nccl']}; one rank sums (cytomesh starts no others to try)")


def memory() -> Finding:
    """Say how much memory is free, within the limits that a container or a job sets."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    free = total
    meminfo = Path("/proc/meminfo")
    for line in meminfo.read_text().splitlines() if meminfo.exists() else ():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024 / GIB
    found = f"{free:.1f} of {total:.1f} GiB free"
    limit = memory_limit()
    if limit is not None and limit / GIB < free:
        free = limit / GIB
        found += f", {free:.1f} GiB allowed for this job"
    advice = "take few --workers, and coarse voxels (surface.voxel_mm): a human hemisphere takes 1.3 GB at 0.33 mm"
    return _by_amount("memory", free, MEMORY_GIB, found, advice)


def disk(folder: Path) -> Finding:
    """Say how much space there is where a folder is or would be made, and whether it can be written to."""
    place = nearest_folder(folder)
    free = shutil.disk_usage(place).free / GIB
    found = f"{free:.1f} GiB free for {place}"
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"cytomesh")
    except OSError as error:
        advice = "take another folder as --out, or ask whom it belongs to"
        return Finding("disk", "problem", f"{place} cannot be written to: {error.strerror}", advice)
    return _by_amount("disk", free, DISK_GIB, found, "make room, or write to another disk: cytomesh doctor FOLDER")


def nearest_folder(folder: Path) -> Path:
    """Return a folder, or the one above it that exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())


def processors() -> Iterator[Finding]:
    """Say how many processors may be used, and whether the number of threads fits them."""
    cpus, machine = available_cpus(), os.cpu_count() or 1
    quota = processor_quota()
    limit = f" (the time of {quota:.3g} is granted to this job)" if quota is not None else ""
    yield Finding("processors", "ok", f"{cpus} of {machine} may be used{limit}")
    settings = {name: os.environ[name] for name in THREAD_VARIABLES if os.environ.get(name)}
    numbers = {name: text.partition(",")[0].strip() for name, text in settings.items()}
    said = ", ".join(f"{name}={text}" for name, text in settings.items())
    wrong = [name for name, text in numbers.items() if not text.isdecimal() or int(text) < 1]
    high = [name for name, text in numbers.items() if name not in wrong and int(text) > cpus]
    if wrong:
        yield Finding("threads", "problem", f"{said}: no number of threads", f"unset it, or set it to {cpus}")
    elif high:
        found = f"{said} on {cpus} processor(s): {', '.join(high)} too high, threads wait for one another"
        yield Finding("threads", "problem", found, f"unset it, or set it to {cpus} at most; --workers have one each")
    elif numbers.get("OMP_NUM_THREADS") == "1" and cpus > 2:
        advice = f"unset it, or set it to {cpus}, unless several commands run at once; --workers have one each anyway"
        yield Finding("threads", "note", f"{said}: networks are trained on one of {cpus} processors", advice)
    else:
        yield Finding("threads", "ok", f"{said or f'{cpus}, as many as processors'}; --workers have one each")


def extras() -> Iterator[Finding]:
    """Say which extras are there, and what those are for that are not."""
    for name, purpose in EXTRAS.items():
        try:
            required = required_by("cytomesh", extra=name)
        except PackageNotFoundError:
            return  # said already
        if faults := unmet(required):
            advice = f"needed for {purpose}: pip install 'cytomesh[{name}]'"
            yield Finding(f"[{name}]", "note", ", ".join(faults), advice)
        else:
            there = ", ".join(f"{item.name} {_version(item.name)}" for item in required)
            yield Finding(f"[{name}]", "ok", f"{there}: {purpose}")


def workbench() -> Finding:
    """Say whether Connectome Workbench is on the path."""
    advice = "cytomesh runs without; to look at its surfaces and maps in wb_view: humanconnectome.org/software"
    program = shutil.which("wb_command")
    if program is None:
        return Finding("Workbench", "note", "no wb_command on the PATH", advice)
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=WORKBENCH_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("Workbench", "note", f"{program} does not run: {error}", advice)
    lines = [line.partition(":")[2].strip() for line in done.stdout.splitlines() if line.startswith("Version:")]
    return Finding("Workbench", "ok", f"{lines[0] if lines else 'of unknown version'}, {program}")


def required_by(package: str, extra: str = "") -> list[Requirement]:
    """Return what an installed package requires here: by itself, or what one of its extras adds.

    Raises
    ------
    PackageNotFoundError
        If it is not installed.
    """
    found = []
    for item in map(Requirement, requires(package) or ()):
        is_always = item.marker is None or item.marker.evaluate({"extra": ""})
        is_asked = is_always if not extra else item.marker and not is_always and item.marker.evaluate({"extra": extra})
        found += [item] if is_asked else []
    return found


def unmet(required: list[Requirement]) -> list[str]:
    """Return which of some requirements are not met: what is not there, and what is of another version."""
    faults = []
    for item in required:
        there = _version(item.name)
        if not there:
            faults.append(f"{item.name} is not installed")
        elif not item.specifier.contains(there, prereleases=True):
            faults.append(f"{item.name} is {there}, not {item.specifier}")
        else:
            faults += [fault for extra in sorted(item.extras) for fault in unmet(required_by(item.name, extra))]
    return faults


def _by_amount(subject: str, free: float, limits: tuple[float, float], found: str, advice: str) -> Finding:
    problem, note = limits
    if free >= note:
        return Finding(subject, "ok", found)
    return Finding(subject, "problem" if free < problem else "note", found, advice)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
