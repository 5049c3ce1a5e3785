"""Sections that are lighter, darker or otherwise stained than the others of their brain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, ImageError, StudyError
from cytomesh.study.sections import Section
from cytomesh.study.stain import LEAST_DENSITY, StainStatistics

# Robust z-scores, 0.6745 (x - median) / median absolute deviation, from which a section is far from others; Iglewicz &
# Hoaglin (How to Detect and Handle Outliers, 1993) take 3.5 for an outlier. Here what is found stops the check.
FAR = 5.0
SD_TO_MAD = 0.6745
# What is less than this apart is not called far, however alike the others are: grey levels, and a factor of densities.
LEAST_LIGHT, LEAST_FACTOR = 12.0, 1.5
# A stain scales all densities (Beer & Lambert); a section that shows more or less grey matter than others has only its
# darkest tissue apart. Where the palest follows the darkest by less than this, as logarithms, nothing can be said.
LEAST_FOLLOWED = 0.5
FEWEST = 6
UNMEASURED = "no section in which glass and tissue can be told apart"
CHANNELS = {1: ("",), 3: (" (red)", " (green)", " (blue)")}


def check_stains(sections: Sequence[Section], statistics: Sequence[StainStatistics | None]) -> list[CytomeshError]:
    """Name the sections of one brain whose glass or tissue is far from that of the others.

    What the manifest's `image.normalise` corrects is not named, nor are sections that are declared as damaged.

    Parameters
    ----------
    sections : sequence of Section
    statistics : sequence of StainStatistics or None
        Of each; None where they are not known.
    """
    known = [
        (section, item)
        for section, item in zip(sections, statistics, strict=True)
        if item is not None and section.status == "ok"
    ]
    if len(known) < FEWEST or len({len(item.background) for _, item in known}) > 1:
        return []
    light = _Measure("glass of {} grey levels", [item.background for _, item in known], LEAST_LIGHT)
    palest = _Measure("", [item.palest for _, item in known], LEAST_FACTOR, is_log=True)
    words = "darkest tissue of optical density {}"
    density = _Measure(words, [item.density for _, item in known], LEAST_FACTOR, is_log=True, follower=palest)
    problems: list[CytomeshError] = []
    for n, (section, _) in enumerate(known):
        left = {"none": (light, density), "background": (density,), "stain": ()}[section.image_settings.normalise]
        if found := [text for measure in left if (text := measure.said(n))]:
            remedy = "stain" if density in left and density.said(n) else "background"
            hint = (
                f"image: {{normalise: {remedy}}} in the manifest brings sections to their brain's median; correct the"
                " image, or declare the section as damaged, if it is of another stain or cut out of another background"
            )
            expected = "a section like the others of its brain"
            place = section.image or section.name
            problems.append(ImageError(place, section.name, found=" and ".join(found), expected=expected, hint=hint))
    return problems


def check_measured(
    manifest: Path, sections: Sequence[Section], statistics: Sequence[StainStatistics | None]
) -> list[CytomeshError]:
    """Say so if `image.normalise` asks for what no image of a brain shows: glass and tissue.

    Parameters
    ----------
    manifest : Path
    sections : sequence of Section
        Of one brain.
    statistics : sequence of StainStatistics or None
        Of each section; None where glass and tissue cannot be told apart.
    """
    pairs = zip(sections, statistics, strict=True)
    wanted = [item for section, item in pairs if section.image and section.image_settings.normalise != "none"]
    return [] if not wanted or any(wanted) else [not_normalised(manifest, sections[0].brain, UNMEASURED)]


def not_normalised(manifest: Path, brain: str, found: str) -> StudyError:
    """Return the error of a brain whose sections cannot be made alike."""
    hint = "image.normalise: none; thumbnails are made from pyramids (cytomesh images convert) or small images"
    return StudyError(manifest, f"brains.{brain}, image.normalise", found=found, hint=hint)


class _Measure:
    """One number per channel of each section, compared with those of the others.

    Parameters
    ----------
    words : str
        How it is said.
    values : sequence of sequence of float
        (n, c).
    least : float
        What is less than this from the median is not far: a difference, or a factor.
    follower : _Measure, optional
        What is apart, too, where this one is (see `LEAST_FOLLOWED`).
    """

    def __init__(
        self,
        words: str,
        values: Sequence[Sequence[float]],
        least: float,
        *,
        is_log: bool = False,
        follower: _Measure | None = None,
    ) -> None:
        self.words, self.follower = words, follower
        self.values = np.array(values)
        scale = np.log(np.maximum(self.values, LEAST_DENSITY)) if is_log else self.values
        self.away: NDArray[np.float64] = scale - np.median(scale, axis=0)
        spread = np.median(np.abs(self.away), axis=0)
        smallest = SD_TO_MAD / FAR * (np.log(least) if is_log else least)
        self.scores: NDArray[np.float64] = SD_TO_MAD * self.away / np.maximum(spread, smallest)

    def said(self, n: int) -> str:
        """Return how far section `n` is from the others, in the channel where it is farthest; "" if near."""
        channel = int(np.abs(self.scores[n]).argmax())
        away = self.away[n, channel]
        followed = away if self.follower is None else self.follower.away[n, channel]
        if abs(self.scores[n, channel]) <= FAR or followed * np.sign(away) < LEAST_FOLLOWED * abs(away):
            return ""
        name = CHANNELS[self.values.shape[1]][channel]
        own, usual, score = self.values[n, channel], np.median(self.values[:, channel]), self.scores[n, channel]
        return f"{self.words.format(f'{own:.3g}')}{name}, {usual:.3g} in others (robust z-score {score:.1f})"
