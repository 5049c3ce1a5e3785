"""Sections of one brain, one of them lit and stained otherwise: measured on thumbnails, made alike, or refused."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cytomesh.core.errors import ImageError, StudyError
from cytomesh.imaging import normalise
from cytomesh.imaging.image_look import ImageLook
from cytomesh.imaging.normalise import normalised, open_run_study
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.imaging.pyramid import open_section, open_unnormalised
from cytomesh.imaging.thumbnail import tissue_thumbnail
from cytomesh.study.check import check_study
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections
from cytomesh.study.stain_checks import check_stains
from cytomesh.study.study import Brain, open_study

N, ODD = 8, 5
HEIGHT, WIDTH = 300, 400


def picture(seed: int, glass: float = 240.0, stain: float = 1.0) -> np.ndarray:
    """Tissue of three densities, one of them speckled, on glass: (h, w) uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.hypot((rows - 150) / 110, (columns - 200) / 160)
    density = np.select([radius < 0.5, radius < 0.8, radius < 1], [0.12, 0.35, 0.22], 0.0)
    density = density * (1 + 0.15 * rng.normal(size=radius.shape) * (density > 0))
    light = glass * 10 ** (-stain * density) + rng.normal(scale=0.7, size=radius.shape)
    return np.rint(np.clip(light, 0, 255)).astype(np.uint8)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A manifest of eight sections, of which one has grey glass and a strong stain."""
    folder = tmp_path / "study"
    folder.mkdir()
    sections = []
    for index in range(N):
        path = folder / f"s{index}.png"
        Image.fromarray(picture(index, **({"glass": 190, "stain": 1.8} if index == ODD else {}))).save(path)
        plane = SectionPlane(np.array([[0.05, 0, 0], [0, 0, 0.5 * index], [0, -0.05, 0]]))
        sections.append(Section("B01", index, path, 50.0, plane))
    write_sections(folder / "sections.tsv", sections)
    brain = {"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}
    facts = {"name": "s", "species": "x", "stain": "Nissl", "space": {"name": "MNI"}, "brains": [brain]}
    (folder / "study.yaml").write_text(yaml.safe_dump(facts))
    return folder / "study.yaml"


def set_normalise(manifest: Path, kind: str) -> None:
    manifest.write_text(yaml.safe_dump(yaml.safe_load(manifest.read_text()) | {"image": {"normalise": kind}}))


def pixels(section: Section, level: int = 0) -> np.ndarray:
    with open_section(section) as image:
        height, width = image.levels[level].shape
        return image.read(level, 0, height, 0, width)[..., 0].astype(float)


def brain_of(manifest: Path) -> Brain:
    (brain,) = normalised(open_study(manifest)).brains
    return brain


def test_none_gives_the_bytes_that_are_stored(study):
    before = [np.asarray(Image.open(section.image)) for section in open_study(study).brains[0].sections]
    set_normalise(study, "none")
    for section, stored in zip(brain_of(study).sections, before, strict=True):
        assert section.normalisation is None
        assert (pixels(section) == stored).all()


def test_a_section_apart_comes_near_to_what_it_would_have_been(study):
    """At all levels: 26 grey levels of glass and 60 of tissue before."""
    truth = picture(ODD).astype(float)
    glass, dense = truth > 230, truth < 150
    for kind, most in (("none", None), ("background", (1.0, None)), ("stain", (1.0, 3.0))):
        set_normalise(study, kind)
        brain = brain_of(study)
        found = pixels(brain.sections[ODD])
        apart = [abs(np.median(found[part]) - np.median(truth[part])) for part in (glass, dense)]
        if most is None:
            assert apart[0] > 40 and apart[1] > 50
        else:
            assert apart[0] <= most[0]
            assert apart[1] <= most[1] if most[1] else apart[1] > 20
            others = [
                np.abs(pixels(s) - np.asarray(Image.open(s.image))).mean() for s in brain.sections if s.index != ODD
            ]
            assert max(others) < 2.0
    coarse = pixels(brain.sections[ODD], level=1)
    assert abs(np.median(coarse[coarse > 230]) - 240) <= 1


def test_sections_are_refused_unless_their_study_was_measured(study):
    set_normalise(study, "stain")
    section = open_study(study).brains[0].sections[0]
    with pytest.raises(ImageError, match=r"image\.normalise: stain, and no statistics.*cytomesh\.normalised"):
        open_section(section)
    with open_unnormalised(section) as image:
        assert (image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0] == picture(0)).all()


def test_what_is_remembered_is_not_measured_again(study, tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    (run / "study.json").write_text(f'{{"manifest": "{study}"}}')
    set_normalise(study, "stain")
    for image in study.parent.glob("*.png"):
        os.utime(image, (1e9, 1e9))  # what has just been written may change again, and is not remembered
    first = [section.normalisation for section in open_run_study(run).brains[0].sections]
    seen: list[str] = []
    monkeypatch.setattr(normalise, "tissue_thumbnail", lambda section: seen.append(section.name))
    assert [section.normalisation for section in open_run_study(run).brains[0].sections] == first
    assert seen == []
    Image.fromarray(picture(99)).save(study.parent / "s2.png")
    open_run_study(run)
    assert seen == ["B01 section 2"]


def test_damaged_sections_do_not_count_for_the_reference(study):
    set_normalise(study, "background")
    reference = brain_of(study).sections[0].normalisation.reference
    table = study.parent / "sections.tsv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(n if n.startswith(f"{ODD}\t") else n.replace("\tok\t", "\tdamaged\t") for n in lines))
    brain = brain_of(study)
    assert reference.background[0] == pytest.approx(240, abs=1)
    assert brain.sections[0].normalisation.reference.background[0] == pytest.approx(190, abs=1)


def test_sections_that_cannot_be_measured_stay_as_they_are_and_are_named(study, capsys):
    set_normalise(study, "stain")
    Image.new("L", (WIDTH, HEIGHT), 77).save(study.parent / "s3.png")
    brain = brain_of(study)
    assert (pixels(brain.sections[3]) == 77).all()
    assert "cannot be told apart in sections 3: they are not normalised" in capsys.readouterr().err
    for index in range(N):
        noise = np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
        Image.fromarray(noise).save(study.parent / f"s{index}.png")
    with pytest.raises(StudyError, match="no section in which glass and tissue can be told apart") as raised:
        brain_of(study)
    assert list(map(str, check_study(study, look=ImageLook()).problems)) == [str(raised.value)]
    assert check_study(study, "quick", ImageLook()).problems == ()
    set_normalise(study, "none")
    assert check_study(study, look=ImageLook()).problems == ()


def test_grey_and_colour_in_one_brain_are_refused(study):
    set_normalise(study, "background")
    Image.open(study.parent / "s1.png").convert("RGB").save(study.parent / "s1.png")
    with pytest.raises(StudyError, match="grey and colour images"):
        brain_of(study)


def test_thumbnails_come_from_the_coarsest_level_alone(tmp_path):
    section = open_study_section(tmp_path / "a.ome.zarr")
    whole = tissue_thumbnail(section)
    shutil.rmtree(tmp_path / "a.ome.zarr" / "0" / "c")
    without = tissue_thumbnail(section)
    assert whole is not None and without is not None and without.stain == whole.stain
    assert (without.mask == whole.mask).all()


def test_large_images_without_coarse_levels_are_not_looked_at(tmp_path, monkeypatch):
    section = open_study_section(tmp_path / "a.ome.zarr", n_levels=1)
    assert tissue_thumbnail(section) is not None
    monkeypatch.setattr("cytomesh.imaging.thumbnail.MOST_PX", 4 * HEIGHT * WIDTH - 1)
    assert tissue_thumbnail(section) is None


def open_study_section(path: Path, n_levels: int = 2) -> Section:
    large = np.kron(picture(0), np.ones((2, 2), np.uint8))
    write_ome_zarr(path, large, 50.0, n_levels)
    plane = SectionPlane(np.array([[0.05, 0, 0], [0, 0, 0], [0, -0.05, 0]]))
    return Section("B01", 0, path, 50.0, plane)


def test_study_check_names_the_section_until_it_is_normalised(study):
    (problem,) = check_study(study, look=ImageLook()).problems
    assert problem.place == f"B01 section {ODD}"
    assert "glass of 190 grey levels, 240 in others" in problem.found and "optical density" in problem.found
    assert "normalise: stain" in problem.hint
    assert check_study(study, "quick", ImageLook()).problems == ()
    set_normalise(study, "background")
    (problem,) = check_study(study, look=ImageLook()).problems
    assert "glass" not in problem.found
    set_normalise(study, "stain")
    assert check_study(study, look=ImageLook()).problems == ()


@pytest.mark.parametrize("brain", [0, 1])
def test_the_phantom_s_sections_are_not_named(small_study, brain):
    sections = open_study(small_study / "study.yaml").brains[brain].sections
    look = ImageLook()
    seen = [look(s, None)[1] if s.image else None for s in sections]
    assert sum(item is not None and item.stain is not None for item in seen) > 10
    assert look.stains(Path("study.yaml"), sections, seen) == []
    odd = next(n for n, item in enumerate(seen) if item is not None and sections[n].status == "ok")
    stain = seen[odd].stain
    seen[odd] = replace(seen[odd], stain=replace(stain, background=(stain.background[0] - 60,)))
    assert [problem.place for problem in look.stains(Path("study.yaml"), sections, seen)] == [sections[odd].name]


@pytest.mark.real
@pytest.mark.parametrize("amount", [0.5, 1.8])
@pytest.mark.parametrize("name", ["bigbrain/sections/bigbrain_coronal_A", "mammal_nissl/chimp_cor_cell.json.ctx-50%"])
def test_parts_of_real_sections_of_which_one_is_stained_otherwise(real_data, tmp_path, name, amount):
    rng = np.random.default_rng(0)
    image = Image.open(real_data / f"{name}.png")
    image.thumbnail((512, 512))
    sections = []
    for index in range(N):
        (width, height), share = image.size, rng.uniform(0.6, 1, 2)
        left, top = (rng.random(2) * (1 - share) * (width, height)).astype(int)
        part = image.crop((left, top, left + int(share[0] * width), top + int(share[1] * height)))
        if index == ODD:
            part = part.point(lambda light: round(255 * (light / 255) ** amount))
        part.save(tmp_path / f"{index}.png")
        plane = SectionPlane(np.array([[0.05, 0, 0], [0, 0, index], [0, -0.05, 0]]))
        sections.append(Section("B01", index, tmp_path / f"{index}.png", 50.0, plane))
    thumbnails = [tissue_thumbnail(section) for section in sections]
    (problem,) = check_stains(sections, [found and found.stain for found in thumbnails])
    assert problem.place == f"B01 section {ODD}" and "darkest tissue" in problem.found
