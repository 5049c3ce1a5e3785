"""Sections far from their brain's others are named, and only those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytomesh.study.pixels import ImageSettings
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.stain import StainStatistics
from cytomesh.study.stain_checks import check_stains

N = 20


def series(normalise: str = "none", n_channels: int = 1, seed: int = 0):
    """A brain whose sections differ by 1.5 grey levels and 10 % of density."""
    rng = np.random.default_rng(seed)
    settings = ImageSettings(normalise=normalise)
    sections, statistics = [], []
    for index in range(N):
        plane = SectionPlane(np.array([[0.05, 0, 0], [0, 0, index], [0, -0.05, 0]]))
        sections.append(Section("B01", index, Path(f"{index}.png"), 50.0, plane, image_settings=settings))
        light, density = 240 + 1.5 * rng.normal(size=n_channels), 0.3 * np.exp(0.1 * rng.normal(size=n_channels))
        statistics.append(StainStatistics(tuple(light.tolist()), tuple(density.tolist())))
    return sections, statistics


@pytest.mark.parametrize("seed", range(20))
def test_sections_alike_are_not_named(seed):
    assert check_stains(*series(seed=seed)) == []
    assert check_stains(*series(n_channels=3, seed=seed)) == []


@pytest.mark.parametrize(
    ("light", "factor", "said", "remedy"),
    [
        (190.0, 1.0, "glass of 190 grey levels, 239 in others (robust z-score -", "background"),
        (240.0, 2.0, "darkest tissue of optical density 0.6, 0.3", "stain"),
        (190.0, 0.4, "glass of 190 grey levels", "stain"),
    ],
)
def test_a_section_apart_is_named_with_numbers_and_the_remedy(light, factor, said, remedy):
    sections, statistics = series()
    statistics[7] = StainStatistics((light,), (0.3 * factor,))
    (problem,) = check_stains(sections, statistics)
    assert problem.source == "7.png" and problem.place == "B01 section 7"
    assert said in problem.found and "robust z-score" in problem.found
    assert f"normalise: {remedy}" in problem.hint
    sections[7] = replace(sections[7], status="damaged")
    assert check_stains(sections, statistics) == []


def test_the_channel_is_named():
    sections, statistics = series(n_channels=3)
    statistics[3] = replace(statistics[3], background=(240.0, 200.0, 240.0))
    (problem,) = check_stains(sections, statistics)
    assert "(green)" in problem.found


def test_what_is_normalised_is_not_named():
    for normalise, n in (("none", 2), ("background", 1), ("stain", 0)):
        sections, statistics = series(normalise)
        statistics[2] = StainStatistics((180.0,), statistics[2].density)
        statistics[5] = StainStatistics(statistics[5].background, (0.9,))
        assert len(check_stains(sections, statistics)) == n


def test_few_sections_or_none_measured_say_nothing():
    sections, statistics = series()
    statistics[2] = StainStatistics((150.0,), (0.3,))
    assert check_stains(sections[:5], statistics[:5]) == []
    assert check_stains(sections, [None] * N) == []
    assert len(check_stains(sections, [*statistics[:-2], None, None])) == 1
