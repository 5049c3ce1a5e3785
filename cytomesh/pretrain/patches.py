"""Patches of a batch: from a bank extracted once, or from the sections as they are needed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import StudyError
from cytomesh.core.files import atomic_path, clear_partial, digest, new_npy, open_npy
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log, track
from cytomesh.core.provenance import Inputs, Record, write_record
from cytomesh.core.reading import reading
from cytomesh.core.run import lock
from cytomesh.graph.freshness import Freshness, record_path
from cytomesh.graph.provenance import IMAGES, LINKS, images_read, parts_read
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import Pyramid, open_section
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.pool import PatchPool, SectionPatches
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.pixels import ImageSettings, n_seen
from cytomesh.study.sections import Section
from cytomesh.study.study import Study

OPEN_SECTIONS = 32


class PatchSource(Protocol):
    """Where pixels come from."""

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the patches of some pool rows, (n, c, s, s) uint8, pial side up."""
        ...


class PatchBank:
    """Patches extracted once into a memory-mapped `.npy`, one row a patch of the pool."""

    def __init__(self, path: Path) -> None:
        with reading(path, expected="patches (.npy)"):
            self.patches = open_npy(path)
            if self.patches.ndim != 4 or self.patches.dtype != np.uint8:
                raise ValueError(f"an array of {self.patches.shape} {self.patches.dtype}")

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some patches, (n, c, s, s) uint8."""
        patches: NDArray[np.uint8] = self.patches[rows]
        return patches


class OpenImages:
    """Images for several threads: each is opened once, and those used last stay open."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._open: OrderedDict[tuple[Path | None, ImageSettings], Future[Pyramid]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, section: Section) -> Pyramid:
        seen = section.image, section.image_settings
        with self._lock:
            is_mine = seen not in self._open
            if is_mine:
                self._open[seen] = Future()
                if len(self._open) > self.capacity:
                    self._open.popitem(last=False)  # closed when its last reader lets go of it
            self._open.move_to_end(seen)
            image = self._open[seen]
        if is_mine:  # without the lock: a plain image is decoded whole here, and others want theirs meanwhile
            try:
                image.set_result(open_section(section))
            except BaseException as failure:
                image.set_exception(failure)
        return image.result()


class SectionReader:
    """Patches read from the sections' images."""

    def __init__(self, pool: PatchPool, config: PatchConfig) -> None:
        self.pool = pool
        self.config = config
        self._place = np.empty(len(pool), np.int64)
        for part in pool.sections:
            self._place[part.rows] = np.arange(len(part.rows))
        self._images = OpenImages(OPEN_SECTIONS)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some patches, (n, c, s, s) uint8."""
        sections = self.pool.section[rows]
        parts = []
        order = np.argsort(sections, kind="stable")
        for slots in np.split(order, np.flatnonzero(np.diff(sections[order])) + 1):
            part = self.pool.sections[sections[slots[0]]]
            parts.append(read_section(self._images[part.section], part, self.config, self._place[rows[slots]]))
        patches = np.concatenate(parts)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return patches[back]


def read_section(
    image: Pyramid, part: SectionPatches, config: PatchConfig, places: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.uint8]:
    """Read patches of one section with their border."""
    side = config.size_px + 2 * config.border_px
    return read_patches(
        image, part.section.um_per_px, part.pixels[places], part.angles_deg[places], side, config.um_per_px
    )


def open_patches(run: Path, pool: PatchPool, config: PatchConfig, data: Inputs) -> PatchSource:
    """Return the bank if there is one (see `build_bank`), else a reader of sections; `data` as of `images_of`."""
    path = run / f"{_bank(config, data)}.npy"
    return PatchBank(path) if path.is_file() else SectionReader(pool, config)


def images_of(run: Path, study: Study, graphs: Sequence[CortexGraph], digests: FileDigests) -> Inputs:
    """Return what the patches of some graphs are cut from: image links, and the images they lead to."""
    inputs = parts_read(run, graphs, (LINKS,), digests)
    for brain in sorted({graph.brain for graph in graphs}):
        linked = {int(i) for graph in graphs if graph.brain == brain for i in graph.section[graph.is_linked]}
        sections = [section for section in study.brain(brain).sections if section.index in linked]
        inputs = inputs.merge(images_read(run, study, sections, digests))
    return inputs


def build_bank(
    run: Path,
    pool: PatchPool,
    config: PatchConfig,
    data: Inputs,
    encoder: str,
    freshness: Freshness,
    *,
    resume: bool = True,
) -> None:
    """Extract all patches of the pool once, if they fit into `bank_gib`; with `resume`, not if they are there.

    A patch is used in many epochs and a section's image is decoded for each read: extracting each once, section by
    section, takes seconds where random reads would take as long as training. Banks whose images or links have changed,
    and others made for the same encoder, are removed.
    """
    bank_id = _bank(config, data)
    path = run / f"{bank_id}.npy"
    side = config.size_px + 2 * config.border_px
    shape = (len(pool), count_channels(pool.sections), side, side)
    with lock(run, "patches", wait=True):
        if path.parent.is_dir():
            clear_partial(path.parent)
            remove_banks(path, encoder, freshness)
        if (resume and path.is_file()) or np.prod(shape, dtype=np.float64) > config.bank_gib * 2**30:
            return
        with atomic_path(path) as temporary:
            bank = new_npy(temporary, shape, np.uint8)

            def extract(part: SectionPatches) -> None:
                with open_section(part.section) as image:
                    bank[part.rows] = read_section(image, part, config)

            with ThreadPoolExecutor(available_cpus()) as threads:
                done = threads.map(extract, pool.sections)
                for _ in track(done, "extract patches", total=len(pool.sections), unit="sections"):
                    pass
            bank.flush()
        write_record(record_path(run, bank_id), Record("patches", encoder, data.of_kinds(LINKS, *IMAGES)))


def remove_banks(wanted: Path, encoder: str, freshness: Freshness) -> None:
    """Remove an encoder's banks other than the wanted one, and all that are stale or that nothing vouches for."""
    for path in wanted.parent.glob("*.npy"):
        bank = f"{wanted.parent.name}/{path.stem}"
        record = freshness.record(bank)
        is_old = record is None or (path != wanted and record.name == encoder)
        if is_old or freshness.reasons(bank):
            path.unlink()
            record_path(freshness.run, bank).unlink(missing_ok=True)


def _bank(config: PatchConfig, data: Inputs) -> str:
    size = [config.size_px, config.border_px, config.um_per_px]
    return f"patches/{digest(data.of_kinds(LINKS, *IMAGES).key, size)}"


def count_channels(parts: Iterable[SectionPatches]) -> int:
    """Return the number of channels, 1 or 3, in which the images of some sections are seen.

    Raises
    ------
    StudyError
        If grey and colour images are mixed.
    """
    channels: dict[int, Path] = {}
    for part in parts:
        channels.setdefault(_n_seen(part), part.image)
    if len(channels) > 1:
        (first, one), (second, other) = list(channels.items())[:2]
        found = f"{first} channel(s) in {one.name} and {second} in {other.name}"
        raise StudyError(
            other,
            found=found,
            expected="the same for all sections",
            hint="image: {channels: luminance} for a brain in colour",
        )
    return next(iter(channels))


def _n_seen(part: SectionPatches) -> int:
    return n_seen(read_header(part.image), part.section.image_settings)


def crop(images: Tensor, border_px: int) -> Tensor:
    """Cut the border off."""
    return images[..., border_px : images.shape[-2] - border_px, border_px : images.shape[-1] - border_px]


def say_conversion(name: str, parts: Iterable[SectionPatches], n_channels: int) -> None:
    """Log that images are brought into the channels that an encoder takes (see `encoder.in_channels`), if they are."""
    if any(_n_seen(part) != n_channels for part in parts):
        how = "grey images are repeated over" if n_channels == 3 else "RGB images are seen as their luminance in"
        log(f"{name}: {how} the {n_channels} channel{'s' * (n_channels > 1)} that the encoder takes")
