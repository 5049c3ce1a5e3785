"""Peak memory of embedding 2,048 px patches, beside the way before: a batch of 256 patches in each of the threads; CPU.

Claim: a ResNet50 embeds patches of 2,048 px in less than a twentieth of the memory, in the same time, to the same
features. Two batches of 256 would take about 75 GB behind the strided stem and more than 400 GB without it, so the old
way runs with two smaller batches: each further patch costs it the same, and the row of 256 is reckoned from that.
Random weights and sections of noise; each measurement in a process of its own; "MB" is what it takes beyond the
libraries and the encoder.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from benchmarks.common import Options, Result, main, peak_memory_mb
from cytomesh.imaging.augment import AugmentConfig
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import EmbedConfig, EncoderConfig, PatchConfig
from cytomesh.pretrain.embed import embed_sections
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.pool import SectionPatches
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

# Patches a batch of the old way: the first two give the growth a patch, and the last batch is all of a section.
CASES = {"ResNet50, strided stem": ("strided", (2, 16)), "ResNet50": ("model", (1, 3))}
QUICK = {"ResNet50, strided stem": ("strided", (2, 6))}
THREADS, OLD_BATCH = 2, 256
SIZE_PX, SECTION_PX, UM_PER_PX = 2048, 4096, 2.0
PATCHES = PatchConfig(size_px=SIZE_PX, um_per_px=UM_PER_PX)
TOLERANCE = 1e-4
COLUMNS = ("threads x patches", "patches at work", "MB", "CPU s a patch")


def make_encoder(stem: str) -> PatchEncoder:
    """Return a ResNet50 with random weights, on one intra-op thread as in `cytomesh embed`."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = EncoderConfig.model_validate({"name": "resnet50", "in_chans": 1, "stem": stem})
    return PatchEncoder(config, PATCHES, AugmentConfig()).eval()


def sections(folder: Path, n_patches: int) -> list[SectionPatches]:
    """Return a section for each thread, with its patches."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, SECTION_PX, (THREADS, n_patches, 2))
    angles, rows = rng.uniform(0, 360, (THREADS, n_patches)), np.arange(n_patches)
    plane = SectionPlane(np.eye(3))
    images = [folder / f"{number}.tif" for number in range(THREADS)]
    return [
        SectionPatches(Section("noise", i, image, UM_PER_PX, plane), image, pixels[i], angles[i], rows)
        for i, image in enumerate(images)
    ]


def write_images(folder: Path) -> None:
    """Write the sections' images."""
    rng = np.random.default_rng(1)
    for part in sections(folder, 1):
        tifffile.imwrite(part.image, rng.integers(0, 256, (SECTION_PX, SECTION_PX), np.uint8), tile=(512, 512))


def new_way(folder: str, stem: str, n_patches: str) -> None:
    """Embed the sections as `cytomesh embed` does."""
    encoder, parts = make_encoder(stem), sections(Path(folder), int(n_patches))
    _record(Path(folder), lambda: list(embed_sections(parts, encoder, EmbedConfig(), THREADS)))


def old_way(folder: str, stem: str, n_patches: str) -> None:
    """Embed each section in a thread, in one batch."""
    encoder, parts = make_encoder(stem), sections(Path(folder), int(n_patches))

    def embed(part: SectionPatches) -> NDArray[np.float32]:
        with open_image(part.image) as image:
            pixels = read_patches(image, UM_PER_PX, part.pixels, part.angles_deg, SIZE_PX, UM_PER_PX)
        features: NDArray[np.float32] = encoder.embed(torch.from_numpy(pixels)).numpy()
        return features

    with ThreadPoolExecutor(THREADS) as threads:
        _record(Path(folder), lambda: list(threads.map(embed, parts)))


def _record(folder: Path, embed: Callable[[], list[NDArray[Any]]]) -> None:
    start = time.process_time()
    features = embed()
    (folder / "seconds.json").write_text(json.dumps(time.process_time() - start))
    np.save(folder / "features.npy", np.stack(features))


def compare(name: str, stem: str, batches: tuple[int, int]) -> tuple[list[list[Any]], str]:
    """Embed the same patches both ways; return rows and what they show."""
    code = "from benchmarks.pretrain.embed_memory import make_encoder, new_way, old_way\n"
    idle = peak_memory_mb(f"{code}make_encoder(sys.argv[1])", stem)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder)

        def fresh(way: str, n: int) -> tuple[float, float, NDArray[Any]]:
            peak = peak_memory_mb(f"{code}{way}(*sys.argv[1:])", str(folder), stem, str(n)) - idle
            seconds = json.loads((folder / "seconds.json").read_text())
            return peak, seconds / (THREADS * n), np.load(folder / "features.npy")

        few, many = (fresh("old_way", n) for n in batches)
        now = fresh("new_way", batches[1])
    difference = np.abs(now[2] - many[2]).max() / np.abs(many[2]).max()
    if difference > TOLERANCE:
        raise RuntimeError(f"{name}: features differ by {difference:.2g} of the largest")
    growth = (many[0] - few[0]) / (THREADS * (batches[1] - batches[0]))
    whole = few[0] + growth * THREADS * (OLD_BATCH - batches[0])
    rows: list[list[Any]] = [
        [f"{name}: before, {THREADS} x {n}", THREADS * n, peak, seconds]
        for n, (peak, seconds, _) in zip(batches, (few, many), strict=True)
    ]
    rows.append([f"{name}: before, {THREADS} x {OLD_BATCH}, at {growth:.0f} MB a patch", "not run", whole, ""])
    rows.append([f"{name}: now, {THREADS} x 1", THREADS, *now[:2]])
    claim = (
        f"{name}: {now[0]:,.0f} MB, {many[0] / now[0]:.1f} times less than {THREADS} batches of {batches[1]},"
        f" {whole / now[0]:.0f} times less than {OLD_BATCH} would take; {now[1] / many[1]:.2f} times the CPU time,"
        f" features within {difference:.0e}"
    )
    return rows, claim


def measure(options: Options) -> Result:
    """Compare behind the strided stem and, in the full form, without it."""
    cases = QUICK if options.quick else CASES
    found = [compare(name, *case) for name, case in cases.items()]
    rows = [row for part, _ in found for row in part]
    return Result(f"Embedding {SIZE_PX:,} px patches", COLUMNS, rows, "; ".join(claim for _, claim in found))


if __name__ == "__main__":
    main(measure, __doc__)
