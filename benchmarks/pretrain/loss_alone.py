"""The contrastive loss alone, forward and backward: cytomesh, the dense form, and lightly's NTXentLoss.

Claim: the chunked loss takes the memory of its inputs and of one chunk, so that N = 65,536 fits into 4 GB, at the speed
of the dense form or better. D = 128, two views of N / 2 patches (NT-Xent, the weights that all three know), float32.
Each measurement runs in its own process on one thread, timed in processor seconds; `MB` is its peak resident memory
less that of a process which only loads the libraries and the inputs. A form whose logits alone exceed the limit is not
run.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

from benchmarks.common import Options, Result, main

DIM = 128
TEMPERATURE = 0.1
LIMIT_BYTES = 6e9  # of one copy of the logits and its gradient
COLUMNS = ("form", "N", "CPU seconds", "MB", "loss")

PROGRAM = """
import sys, time, torch
name, n, d, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
def peak():
    return float(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))) / 1024
{setup}
z = torch.randn((n, d), generator=torch.Generator().manual_seed(0))
z = torch.nn.functional.normalize(z, dim=1).requires_grad_()
node = torch.arange(n) % (n // 2)
before = peak()
start = time.process_time()
loss = form(z)
loss.backward()
print(time.process_time() - start, peak() - before, float(loss.detach()))
"""
FORMS = {
    "cytomesh": """
from cytomesh.pretrain.info_nce import weighted_info_nce
def form(z):
    total, count = weighted_info_nce(z, z, lambda rows: (node[rows, None] == node).float(), temperature=0.1)
    return total / count
""",
    "dense": """
def form(z):
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(z)).roll(len(z) // 2))
""",
    "lightly": """
from lightly.loss import NTXentLoss
def form(z):
    return NTXentLoss(temperature=0.1)(*z.chunk(2))
""",
}


def cost(form: str, n: int, threads: int) -> list[float]:
    """Return seconds, MB and the loss of one form in a process of its own."""
    program = PROGRAM.replace("{setup}", FORMS[form])
    command = [sys.executable, "-c", program, form, str(n), str(DIM), str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()[-3:]]


def measure(options: Options) -> Result:
    """Measure every form at every size; the quick form leaves out the largest."""
    sizes = (4096, 8192) if options.quick else (4096, 16384, 65536)
    rounds = 1 if options.quick else 3
    rows: list[list[Any]] = []
    for n in sizes:
        forms = [form for form in FORMS if form != "lightly" or importlib.util.find_spec("lightly")]
        fits = {form: form == "cytomesh" or 2 * 4.0 * n * n <= LIMIT_BYTES for form in forms}
        found: dict[str, list[list[float]]] = {form: [] for form in forms}
        for _ in range(rounds if n < 65536 else 1):
            for form in forms:
                if fits[form]:
                    found[form].append(cost(form, n, 1))
        for form in forms:
            if fits[form]:
                rows.append([form, n, *(sorted(column)[len(column) // 2] for column in zip(*found[form], strict=True))])
            else:
                rows.append([form, n, "-", f"over {2 * 4.0 * n * n / 1e6:,.0f}", "-"])
    largest = {form: row for row in rows if (form := row[0]) and row[2] != "-"}
    ours = [row for row in rows if row[0] == "cytomesh"][-1]
    parts = [f"cytomesh at N = {ours[1]:,}: {ours[2]:.3g} CPU s, {ours[3]:,.0f} MB"]
    for form, row in largest.items():
        if form != "cytomesh":
            same = next(other for other in rows if other[0] == "cytomesh" and other[1] == row[1])
            time, memory = same[2] / row[2], same[3] / row[3]
            parts.append(f"at N = {row[1]:,} {time:.2f} times the time and {memory:.3f} times the memory of {form}")
    return Result(f"Contrastive loss alone, forward and backward, D = {DIM}", COLUMNS, rows, "; ".join(parts))


if __name__ == "__main__":
    main(measure, __doc__)
