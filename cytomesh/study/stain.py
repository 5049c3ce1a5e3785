"""How light the glass and how dark the tissue of a section is, and how one section is made to look like its brain's.

Light that passes a stain falls off exponentially with its amount (Beer and Lambert): optical density, -log10 of the
share of the glass's light, is proportional to it (Ruifrok & Johnston, Anal Quant Cytol Histol 23, 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

NormaliseKind = Literal["none", "background", "stain"]

# The optical density that stands for a section's stain: its darkest tissue. A median would follow the shares of grey
# and white matter, by a factor of 2.3 towards the poles of the phantom's brains, where this one stays within 1.4.
DENSEST = 95.0
# Its palest tissue, white matter where there is some; a 5th percentile would follow the edge of the tissue.
PALEST = 10.0
# Digits to which statistics are kept: what they give is then the same on all processors.
DIGITS = 4
# Glass is lighter than this where light passes through; darker backgrounds are of fluorescence, or a frame.
DARKEST_GLASS = 64
# Of a channel in which the tissue is hardly darker than the glass, the strength of the stain cannot be told.
LEAST_DENSITY = 0.02
# Light of pixels that are black, grey levels: the middle of what is rounded to 0.
BLACK = 0.25


@dataclass(frozen=True, slots=True)
class StainStatistics:
    """Glass and tissue of one section as it is seen in 8 bits, per channel.

    Parameters
    ----------
    background : tuple of float
        Light of the glass, grey levels.
    density : tuple of float
        Optical density of the tissue that only its darkest twentieth exceeds.
    palest : tuple of float
        Optical density that all but its palest tenth exceed.
    """

    background: tuple[float, ...]
    density: tuple[float, ...]
    palest: tuple[float, ...]

    @classmethod
    def from_facts(cls, facts: Mapping[str, Sequence[float]]) -> Self:
        """Return what `facts` became in a JSON file."""
        return cls(**{item.name: tuple(facts[item.name]) for item in fields(cls)})

    @property
    def facts(self) -> dict[str, list[float]]:
        """Plain values, for JSON."""
        return {name: list(values) for name, values in asdict(self).items()}


def stain_statistics(
    pixels: NDArray[np.uint8], background: NDArray[np.floating[Any]], is_tissue: NDArray[np.bool_]
) -> StainStatistics | None:
    """Measure a section.

    Parameters
    ----------
    pixels : (h, w, c) uint8
        Of a thumbnail.
    background : (c,) float
        Grey level of the glass.
    is_tissue : (h, w) bool

    Returns
    -------
    StainStatistics or None
        None where there is no tissue, or the background is too dark to be glass.
    """
    if not is_tissue.any() or background.min() < DARKEST_GLASS:
        return None
    densities = np.log10(background / np.maximum(pixels[is_tissue], BLACK))
    values = (background, *np.percentile(densities, (DENSEST, PALEST), axis=0))
    rounded = (tuple(np.round(one.astype(np.float64), DIGITS).tolist()) for one in values)
    return StainStatistics(*rounded)


def median_statistics(statistics: Sequence[StainStatistics]) -> StainStatistics:
    """Return the median over some sections of as many channels, each number for itself."""
    names = [item.name for item in fields(StainStatistics)]
    medians = (np.median([getattr(item, name) for item in statistics], axis=0) for name in names)
    return StainStatistics(*(tuple(np.round(values, DIGITS).tolist()) for values in medians))


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How a section is made to look like the others of its brain.

    Parameters
    ----------
    kind : {"none", "background", "stain"}
        background: light is scaled until the glass is that of the reference. stain: optical density, too, as
        Macenko et al. (ISBI 2009) scale the amount of a stain, by a high percentile; here channel by channel.
    own, reference : StainStatistics
        Of the section; of its brain.
    """

    kind: NormaliseKind
    own: StainStatistics
    reference: StainStatistics

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"kind": self.kind, "own": self.own.facts, "reference": self.reference.facts}

    def tables(self) -> NDArray[np.uint8]:
        """Return (c, 256) uint8: what each grey level of each channel becomes."""
        return np.stack([self._table(channel) for channel in range(len(self.own.background))])

    def _table(self, channel: int) -> NDArray[np.uint8]:
        glass, density = self.own.background[channel], self.own.density[channel]
        to_glass, to_density = self.reference.background[channel], self.reference.density[channel]
        share = np.arange(256.0) / glass
        if self.kind == "stain" and min(density, to_density) >= LEAST_DENSITY:
            # what is lighter than the glass is no tissue
            share = np.where(share < 1, share ** (to_density / density), share)
        return np.rint(np.clip(share * to_glass, 0, 255)).astype(np.uint8)


def looked_up(pixels: NDArray[np.uint8], tables: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w, c) pixels with the (c, 256) tables of their channels applied."""
    return np.stack([np.take(table, pixels[..., channel]) for channel, table in enumerate(tables)], axis=-1)
