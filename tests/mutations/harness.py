"""Spoil files in every way that disks, networks, other programs and hostile people do, and judge how they are read.

    python -m tests.mutations.harness [words in the kind's name]

prints the counts by kind of file, and every input that is not read rightly or refused by name. Inputs are read one
after another by a forked process, which is killed and replaced when one takes too long, and which may not take much
memory.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from tests.mutations.content import MARKER, Mutation, byte_mutations, special_files

SECONDS = 10.0
MEMORY_BYTES = 2 * 2**30
HUGE_BYTES = 2**29
OUTCOMES = ("right", "other", "clear", "nameless", "traceback", "hang", "huge", "abort", "ran", "wrong")
"""As without the mutation; another value, which the file can mean; refused in one error with the file's name; without
it; another exception; no answer in `SECONDS`; half a gigabyte or more; killed by a signal; started a program; taken
although the content shows that it is damaged."""
GOOD = {"right", "other", "clear"}


@dataclass(frozen=True)
class Target:
    """A file that is spoilt, and what reads it.

    Parameters
    ----------
    path : str
        Below the folder of samples.
    read : callable
        Takes that folder, returns values (arrays, text, numbers) of what is read.
    own : sequence of Mutation
        Mutations of this format.
    guards : set of str
        Harms that the format lets a reader notice: "cut", "zeroed", "flip", "insert", "type", "number". Of others the
        file may mean another value.
    named : str
        What has to be in the message; the file's name by default.
    n : int
        Inputs.
    writes : str
        Folder below the samples that is put back after each input, since reading writes there.
    """

    path: str
    read: Callable[[Path], Any]
    own: Sequence[Mutation] = ()
    guards: frozenset[str] = frozenset({"cut", "type"})
    named: str = ""
    n: int = 100
    writes: str = ""

    def mutations(self, content: bytes, seed: int) -> list[Mutation]:
        """Return `n` mutations: all special files and, of the others, a random choice that is the same every time."""
        rng = random.Random(seed)
        special, bytewise = special_files(), byte_mutations(content, rng)
        room = self.n - len(special)
        own = list(self.own) if len(self.own) <= room * 2 // 3 else rng.sample(list(self.own), room * 2 // 3)
        return [*special, *own, *rng.sample(bytewise, min(len(bytewise), room - len(own)))]


def judge(target: Target, path: Path, harm: str, expected: Any, found: Any) -> tuple[str, str]:
    """Return the outcome of an input, and what there is to say of it."""
    from cytomesh.core.errors import CytomeshError

    if isinstance(found, BaseException):
        text = f"{type(found).__name__}: {' '.join(str(found).split())[:300]}"
        chain: list[BaseException] = []
        cause: BaseException | None = found
        while cause is not None and cause not in chain:
            chain.append(cause)
            cause = cause.__cause__
        if any(isinstance(item, MemoryError) for item in chain):
            return "huge", text
        if not isinstance(found, CytomeshError):
            return "traceback", text
        return ("clear" if (target.named or path.name) in str(found) else "nameless"), text
    if found == expected:
        return "right", ""
    return ("wrong" if harm in target.guards else "other"), ""


def fingerprint(value: Any) -> Any:
    """Return something that compares equal for equal values, also from process to process."""
    if isinstance(value, dict):
        return tuple(sorted((str(name), fingerprint(item)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(fingerprint(item) for item in value)
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, repr(value.tolist()) if value.dtype == object else value.tobytes())
    return repr(value)


def _work(connection: Connection, targets: Sequence[Target], samples: Path) -> None:
    """Read what is asked for until the other end closes."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    warnings.simplefilter("ignore")
    size = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmSize" in line).split()[1])
    resource.setrlimit(resource.RLIMIT_AS, (1024 * size + MEMORY_BYTES,) * 2)
    while True:
        try:
            number, harm, expected = connection.recv()
        except EOFError:
            return
        target = targets[number]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found: Any
        try:
            found = fingerprint(target.read(samples))
        except Exception as error:
            found = error
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        outcome, detail = judge(target, samples / target.path, harm, expected, found)
        value = None if isinstance(found, BaseException) else found
        connection.send((outcome if grown < HUGE_BYTES else "huge", detail, value, grown))


class Reader:
    """A forked process that reads files, replaced when it hangs or dies."""

    def __init__(self, targets: Sequence[Target], samples: Path) -> None:
        self.targets, self.samples = targets, samples
        self._process: Any = None

    def ask(self, number: int, harm: str, expected: Any, seconds: float | None = None) -> tuple[str, str, Any]:
        """Return outcome, detail and value of one target as its file is now."""
        if self._process is None:
            context = multiprocessing.get_context("fork")
            self._mine, its = context.Pipe()
            self._process = context.Process(target=_work, args=(its, self.targets, self.samples), daemon=True)
            self._process.start()
            its.close()
        self._mine.send((number, harm, expected))
        try:
            if self._mine.poll(SECONDS if seconds is None else seconds):
                outcome, detail, value, grown = self._mine.recv()
                if grown > HUGE_BYTES // 4:  # the highest mark stays: the next would look small beside it
                    self.close()
                return outcome, detail, value
            outcome = "hang"
        except EOFError:
            outcome = "abort"
        self.close()
        return outcome, "", None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._mine.close()
            self._process = None


def run_kind(targets: Sequence[Target], samples: Path) -> tuple[Counter[str], list[str]]:
    """Return the number of inputs with each outcome, and a line for each bad one."""
    counts: Counter[str] = Counter()
    bad: list[str] = []
    reader = Reader(targets, samples)
    for number, target in enumerate(targets):
        path = samples / target.path
        is_folder = path.is_dir()
        content = b"" if is_folder else path.read_bytes()
        kept = samples / ".kept"
        if target.writes:
            shutil.rmtree(samples / ".sound", ignore_errors=True)
            shutil.copytree(samples / target.writes, samples / ".sound")
        outcome, detail, expected = reader.ask(number, "", None, 60)
        if outcome != "other":
            counts["traceback"] += 1
            bad.append(f"{target.path}: as it is: {outcome} {detail}")
            continue
        for mutation in target.mutations(content, number):
            path.rename(kept)
            try:
                mutation.write(path, content)
                outcome, detail, _ = reader.ask(number, mutation.harm, expected)
                if MARKER.exists():
                    MARKER.unlink()
                    outcome = "ran"
            finally:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
                kept.rename(path)
                if target.writes:
                    shutil.rmtree(samples / target.writes)
                    shutil.copytree(samples / ".sound", samples / target.writes)
            counts[outcome] += 1
            if outcome not in GOOD:
                bad.append(f"{target.path}: {mutation.name}: {outcome} {detail}")
    reader.close()
    return counts, bad


def run_all(words: Sequence[str] = ()) -> tuple[dict[str, Counter[str]], list[str]]:
    """Write samples and run every kind whose name has one of the words; all without any."""
    from tests.mutations.kinds import all_kinds
    from tests.mutations.samples import write_samples

    with tempfile.TemporaryDirectory() as scratch:
        # what writes a run starts threads, which a fork does not survive
        context = multiprocessing.get_context("fork")
        writer = context.Process(target=write_samples, args=(Path(scratch),))
        writer.start()
        writer.join()
        assert writer.exitcode == 0
        counts, bad = {}, []
        for name, targets in all_kinds(Path(scratch)).items():
            if not words or any(word.lower() in name.lower() for word in words):
                start = time.perf_counter()
                counts[name], lines = run_kind(targets, Path(scratch))
                bad += [f"{name}: {line}" for line in lines]
                print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    return counts, bad


def as_table(counts: dict[str, Counter[str]]) -> str:
    """Return the counts as a table of text."""
    rows = [[name, *(str(count[outcome] or ".") for outcome in OUTCOMES)] for name, count in counts.items()]
    total = sum(counts.values(), Counter())
    rows.append(["all", *(str(total[outcome] or ".") for outcome in OUTCOMES)])
    lines = [["kind", *OUTCOMES], *rows]
    return "\n".join(f"{line[0]:34}" + "".join(f"{cell:>10}" for cell in line[1:]) for line in lines)


if __name__ == "__main__":
    found, problems = run_all(sys.argv[1:])
    print("\n".join(problems))
    print(as_table(found))
    sys.exit(bool(problems))
