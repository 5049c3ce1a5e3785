"""Patches of a batch, from the sections as they are needed; see `bank` for those extracted before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.counted import counted
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import StudyError
from cytomesh.core.last_used import LastUsed
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs
from cytomesh.graph.provenance import LINKS, images_read, parts_read
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


class OpenImages:
    """Images for several threads: each is opened once, and those used last stay open."""

    def __init__(self, capacity: int) -> None:
        self._open: LastUsed[tuple[Path | None, int | None, ImageSettings], Pyramid] = LastUsed(capacity)

    def __getitem__(self, section: Section) -> Pyramid:
        # one that is no longer kept is closed when its last reader lets go of it
        return self._open.get((section.image, section.scene, section.image_settings), lambda: open_section(section))


class BySection(ABC):
    """Patches that are kept section by section; how they are read, is said by `_all_of`."""

    def __init__(self, pool: PatchPool) -> None:
        self.pool = pool
        self._place = np.empty(len(pool), np.int64)
        for part in pool.sections:
            self._place[part.rows] = np.arange(len(part.rows))

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some patches, (n, c, s, s) uint8."""
        sections = self.pool.section[rows]
        order = np.argsort(sections, kind="stable")
        each = np.split(order, np.flatnonzero(np.diff(sections[order])) + 1)
        patches = np.concatenate(self._all_of([(int(sections[slots[0]]), self._place[rows[slots]]) for slots in each]))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return patches[back]

    @abstractmethod
    def _all_of(self, wanted: Sequence[tuple[int, NDArray[np.int64]]]) -> list[NDArray[np.uint8]]:
        """Return patches of some sections, each by its number and their places in it."""


class SectionReader(BySection):
    """Patches read from the sections' images."""

    def __init__(self, pool: PatchPool, config: PatchConfig) -> None:
        super().__init__(pool)
        self.config = config
        self._images = OpenImages(OPEN_SECTIONS)

    def _all_of(self, wanted: Sequence[tuple[int, NDArray[np.int64]]]) -> list[NDArray[np.uint8]]:
        parts = [(self.pool.sections[number], places) for number, places in wanted]
        return [read_section(self._images[part.section], part, self.config, places) for part, places in parts]


def read_section(
    image: Pyramid, part: SectionPatches, config: PatchConfig, places: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.uint8]:
    """Read patches of one section with their border."""
    side = config.size_px + 2 * config.border_px
    return read_patches(
        image, part.section.um_per_px, part.pixels[places], part.angles_deg[places], side, config.um_per_px
    )


def images_of(run: Path, study: Study, graphs: Sequence[CortexGraph], digests: FileDigests) -> Inputs:
    """Return what the patches of some graphs are cut from: image links, and the images they lead to."""
    inputs = parts_read(run, graphs, (LINKS,), digests)
    for brain in sorted({graph.brain for graph in graphs}):
        linked = {int(i) for graph in graphs if graph.brain == brain for i in graph.section[graph.is_linked]}
        sections = [section for section in study.brain(brain).sections if section.index in linked]
        inputs = inputs.merge(images_read(run, study, sections, digests))
    return inputs


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
        raise mixed_channels(channels)
    return next(iter(channels))


def mixed_channels(channels: Mapping[int, Path]) -> StudyError:
    """Return the error that names an image of each number of channels."""
    (first, one), (second, other) = list(channels.items())[:2]
    found = f"{first} channel(s) in {one.name} and {second} in {other.name}"
    hint = "image: {channels: luminance} for a brain in colour"
    return StudyError(other, found=found, expected="the same for all sections", hint=hint)


def _n_seen(part: SectionPatches) -> int:
    return n_seen(read_header(part.image, part.section.image_part), part.section.image_settings)


def say_conversion(name: str, parts: Iterable[SectionPatches], n_channels: int) -> None:
    """Log that images are brought into the channels that an encoder takes (see `encoder.in_channels`), if they are."""
    if any(_n_seen(part) != n_channels for part in parts):
        how = "grey images are repeated over" if n_channels == 3 else "RGB images are seen as their luminance in"
        log(f"{name}: {how} the {counted(n_channels, 'channel')} that the encoder takes")
