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


def stained(light, density, pale=0.25):
    """White matter has a quarter of the density of the cortex."""
    light, density = (np.atleast_1d(values).tolist() for values in (light, density))
    return StainStatistics(tuple(light), tuple(density), tuple(pale * value for value in density))


def series(normalise: str = "none", n_channels: int = 1, seed: int = 0):
    """A brain whose sections differ by 1.5 grey levels and 10 % of density."""
    rng = np.random.default_rng(seed)
    settings = ImageSettings(normalise=normalise)
    sections, statistics = [], []
    for index in range(N):
        plane = SectionPlane(np.array([[0.05, 0, 0], [0, 0, index], [0, -0.05, 0]]))
        sections.append(Section("B01", index, Path(f"{index}.png"), 50.0, plane, image_settings=settings))
        light, density = 240 + 1.5 * rng.normal(size=n_channels), 0.3 * np.exp(0.1 * rng.normal(size=n_channels))
        statistics.append(stained(light, density))
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
    statistics[7] = stained(light, 0.3 * factor)
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


@pytest.mark.parametrize(("factor", "pale"), [(0.4, 0.25 / 0.4), (2.0, 0.25 / 2)])
def test_more_or_less_grey_matter_is_no_other_stain(factor, pale):
    """Of crops that show white matter nearly alone, the darkest tissue is pale; the palest is that of all others."""
    sections, statistics = series()
    statistics[7] = stained(240.0, 0.3 * factor, pale)
    assert check_stains(sections, statistics) == []


def test_what_is_normalised_is_not_named():
    for normalise, n in (("none", 2), ("background", 1), ("stain", 0)):
        sections, statistics = series(normalise)
        statistics[2] = replace(statistics[2], background=(180.0,))
        statistics[5] = stained(statistics[5].background, 0.9)
        assert len(check_stains(sections, statistics)) == n


def test_few_sections_or_none_measured_say_nothing():
    sections, statistics = series()
    statistics[2] = stained(150.0, 0.3)
    assert check_stains(sections[:5], statistics[:5]) == []
    assert check_stains(sections, [None] * N) == []
    assert len(check_stains(sections, [*statistics[:-2], None, None])) == 1
