"""SIGKILL at any instant: the same command goes on, gives what a whole run gives, and leaves nothing behind.

Each stage is killed once in the ordinary suite; CYTOMESH_KILLS=20 kills each as often.
"""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.processes import CONTEXT, run_programs, start_program
from tests.provenance_chain import ALL, AREAS, ENCODER, FEATURES, GRAPHS, PARCELS, Chain

KILLS = int(os.environ.get("CYTOMESH_KILLS", "1"))
# stage -> the command, and what it makes
STAGES = {
    "graphs": ("build-graph {study}/study.yaml --workers 1", GRAPHS),
    "encoders": ("pretrain --name vit --overwrite", (ENCODER,)),
    "features": ("embed --encoder vit", FEATURES),
    "classify": ("classify --name linear", (AREAS,)),
    "parcellate": ("parcellate --name parcels", (PARCELS,)),
}
STARTS = ("nothing", "other settings")
CASES = [
    ("graphs", "other settings"),
    ("encoders", "other settings"),
    ("features", "nothing"),
    ("classify", "nothing"),
    ("parcellate", "nothing"),
]
MARKS = ("partial", "next", "old", "sections")


def command(chain: Chain, stage: str, folder: Path) -> list[str]:
    from cytomesh.core.config import write_config

    settings = folder / f"{stage}.yaml"
    settings.write_text(write_config(chain.settings()[stage]))
    words = STAGES[stage][0].format(study=chain.study).split()
    return [*words, "--out", str(chain.run), "--config", str(settings)]


def listing(run: Path) -> set[tuple[str, int]]:
    found = set()
    for place, _, names in os.walk(run):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 (as fast as can be)
            try:
                found.add((path, os.stat(path).st_mtime_ns))  # noqa: PTH116
            except FileNotFoundError:
                continue
    return found


def run_and_kill(words: list[str], run: Path, n_changes: int | None = None) -> None:
    """Run a command; kill it once files below the run have changed so many times."""
    errors = run.parent / "errors.txt"
    process = start_program(errors, *words)
    before, changes = listing(run), 0
    deadline = time.monotonic() + 200
    while n_changes and process.is_alive() and time.monotonic() < deadline:
        now = listing(run)
        if now != before:
            before, changes = now, changes + 1
            if changes >= n_changes:
                process.kill()
        time.sleep(0.001)
    process.join(200)
    assert process.exitcode in ((0, -signal.SIGKILL) if n_changes else (0,)), errors.read_text()[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(600 + 60 * KILLS)
@pytest.mark.parametrize(("stage", "start"), CASES if KILLS == 1 else [(s, start) for s in STAGES for start in STARTS])
def test_killed_and_called_again(small_chain, tmp_path, stage, start):
    shutil.copytree(small_chain.study.parent, tmp_path / "copy")
    chain = Chain(tmp_path / "copy" / "study", tmp_path / "copy" / "run")
    words = command(chain, stage, tmp_path)
    other = {"graphs": "links.max_distance_mm=7", "encoders": "seed=5", "features": "batch_size=7"}.get(stage, "seed=5")
    for product in STAGES[stage][1] if start == "nothing" else ():
        shutil.rmtree(chain.run / product, ignore_errors=True)
        for path in (chain.run / product).parent.glob(f"{Path(product).name}.*"):
            path.unlink()
    if start == "other settings":
        run_and_kill([*words, "--set", other], chain.run)
    chance = random.Random(f"{stage} {start}")
    for _ in range(KILLS):
        run_and_kill(words, chain.run, chance.randint(1, 12))
    run_and_kill(words, chain.run)
    assert chain.results() == small_chain.results()
    left = [str(path) for mark in MARKS for path in chain.run.rglob(f".{mark}-*")]
    assert left + [str(path) for path in chain.run.rglob("unfinished.json")] == []
    assert set(ALL) == {name for name, text in chain.records().items() if text}


def run_to_its_end(errors: Path, n_replaced: int, words: list[str]) -> None:
    """Run a command that kills itself, by SIGKILL, in place of the n-th file that would take its name."""
    replace, left = os.replace, [n_replaced]

    def replace_or_die(*places: Path) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*places)

    os.replace = replace_or_die
    run_programs(errors, None, [words], {})


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder; of a page, what is left without the time at which it was made."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# command -> the folder that it writes, and the file that is about to take its name when it is killed
WRITERS = {
    "export freesurfer --out {home}/run --to {home}/made": (2, 40),
    "study to-ome-zarr {home}/study/study.yaml": (2,),
    "init {home}/made --images {home}/images --annotations {home}/areas --spacing-mm 8": (1, 3),
}


@pytest.mark.parametrize("command", WRITERS)
def test_what_is_written_for_others_is_whole_after_a_kill(small_chain, tmp_path, command):
    errors = tmp_path / "errors.txt"
    found = []
    for moments in ((), WRITERS[command]):
        home = tmp_path / f"home-{len(moments)}" / "home"  # exports and scenes have relative paths
        home.mkdir(parents=True)
        for name in ("study", "run"):
            shutil.copytree(small_chain.study.parent / name, home / name, symlinks=True)
        made = home / "study" / "scenes" if command.startswith("study") else home / "made"
        for name, pattern in (("images", "sub-T01/micr/*.zarr"), ("areas", "derivatives/cytomesh/sub-T01/micr/*.png")):
            (home / name).mkdir()
            for path in sorted((home / "study").glob(pattern))[:4]:
                (home / name / path.name).symlink_to(path)
        for moment in (*moments, 0):
            process = CONTEXT.Process(target=run_to_its_end, args=(errors, moment, command.format(home=home).split()))
            process.start()
            process.join(100)
            assert process.exitcode == (-signal.SIGKILL if moment else 0), errors.read_text()[-3000:]
        found.append(contents(made))
    assert found[0] == found[1]
