"""`study check` on 5,000 sections (quick: 300): seconds and memory, beside opening everything once in a plain loop.

Claim: the whole check takes minutes, not hours, on a laptop; without pixels (`--quick`) it is as fast as reading the
files. Sections of 256 x 256 px (PNG) with a ring and an annotation each; two processes. The peer, one process: Pillow
decodes every image and annotation, and the json module parses every drawing.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.common import Options, Result, main
from benchmarks.core.decide import write_study

COLUMNS = ("", "seconds", "MB")


def read_all(folder: Path) -> None:
    """Decode and parse every file: the peer."""
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            image.load()
    for path in sorted(folder.glob("*.geojson")):
        json.loads(path.read_text())


CHILD = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)  # it names what the study lacks: white matter, a label table
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)
"""


def run(*words: str) -> tuple[float, float]:
    """Return the seconds of a command, and the memory of its largest process, MB."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=True)
    if "Traceback" in done.stderr:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - start, float(done.stdout)


def measure(options: Options) -> Result:
    """Check with and without pixels, then read all."""
    n = 300 if options.quick else 5000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder, n)
        program = (
            sys.executable,
            "-m",
            "cytomesh",
            "-q",
            "study",
            "check",
            str(folder / "study.yaml"),
            "--workers",
            "2",
        )
        rows: list[list[object]] = [["check", *run(*program)], ["check --quick", *run(*program, "--quick")]]
        start = time.perf_counter()
        read_all(folder)
        rows.append(
            ["plain loop", time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3]
        )
    whole, quick, plain = (float(str(row[1])) for row in rows)
    claim = f"{n:,} sections: {whole:.0f} s, {whole / plain:.1f} times reading them once; without pixels {quick:.0f} s"
    return Result("Checking a study", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
