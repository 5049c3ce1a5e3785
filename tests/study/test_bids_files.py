import json

import numpy as np
import pytest
from PIL import Image

from cytomesh.core.errors import ImageError, StudyError
from cytomesh.study.bids import from_bids
from cytomesh.study.bids_files import BidsFiles
from cytomesh.study.check import check_study
from cytomesh.study.study import open_study

SIZE = {"PixelSize": [100.0, 100.0], "PixelSizeUnits": "um"}


def write_dataset(folder, names, sidecars):
    """One brain with an image a name; sidecars by path."""
    (folder / "participants.tsv").write_text("participant_id\tspecies\nsub-01\thomo sapiens\n")
    lines = [f"sample-{i:03}\tsub-01\ttissue\t{i}.0" for i in range(2)]
    (folder / "samples.tsv").write_text("sample_id\tparticipant_id\tsample_type\tposition_mm\n" + "\n".join(lines))
    for name in names:
        image = folder / "sub-01" / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((60, 80), 120, np.uint8)).save(image)
    for name, facts in sidecars.items():
        (folder / name).write_text(json.dumps(facts), encoding="utf-8")


NAMES = ("micr/sub-01_sample-000_BF.png", "micr/sub-01_sample-001_BF.png")


@pytest.mark.parametrize(
    ("names", "sidecars"),
    [
        (NAMES, {"BF.json": {"PixelSize": [100, 100], "PixelSizeUnits": "\u03bcm"}}),
        (NAMES, {"sub-01/sub-01_BF.json": {"PixelSize": [0.1, 0.1], "PixelSizeUnits": "mm"}}),
        (NAMES, {"BF.json": {"PixelSize": [5, 5]} | {"PixelSizeUnits": "um"}, "sub-01/micr/sub-01_BF.json": SIZE}),
        (NAMES, {"BF.json": {"PixelSizeUnits": "nm"}, "sub-01/sub-01_BF.json": {"PixelSize": [1e5, 1e5]}}),
        (NAMES, {"BF.json": SIZE, "sample-009_BF.json": {"PixelSize": [7, 7]}, "sub-01_FLUO.json": {"PixelSize": 7}}),
        (
            [name.replace("_BF", "_chunk-01_BF") for name in NAMES],
            {"BF.json": SIZE, "chunk-02_BF.json": {"PixelSize": 1}},
        ),
        ([name.replace("_sample", "_ses-a_sample") for name in NAMES], {"ses-a_BF.json": SIZE}),
        (
            [f"ses-a/{name.replace('_sample', '_ses-a_sample')}" for name in NAMES],
            {"sub-01/ses-a/sub-01_BF.json": SIZE},
        ),
    ],
)
def test_images_are_found_with_all_sidecars_that_apply(tmp_path, names, sidecars):
    write_dataset(tmp_path, names, sidecars)
    manifest = from_bids(tmp_path)
    sections = open_study(manifest).brain("01").sections
    assert [section.um_per_px for section in sections] == [100.0, 100.0]
    assert [section.image for section in sections] == [tmp_path / "sub-01" / name for name in names]
    assert check_study(manifest).problems == ()


def test_the_nearest_sidecar_wins_and_the_one_of_more_entities(tmp_path):
    sidecars = {
        "BF.json": {"a": 0, "b": 0, "c": 0, "d": 0},
        "sample-000_BF.json": {"b": 1, "c": 1, "d": 1},
        "sub-01/sub-01_BF.json": {"c": 2, "d": 2},
        "sub-01/micr/sub-01_sample-000_BF.json": {"d": 3},
        "sub-01/micr/sub-01_sample-001_BF.json": {"d": 9},
    }
    write_dataset(tmp_path, NAMES, sidecars)
    files = BidsFiles(tmp_path)
    assert files.sidecar(files.image("01", "000")) == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert files.sidecar(files.image("01", "001")) == {"a": 0, "b": 0, "c": 2, "d": 9}


@pytest.mark.parametrize(
    ("facts", "error", "found"),
    [
        ({"PixelSize": [100, 200], "PixelSizeUnits": "um"}, ImageError, "pixels of 100 x 200 um"),
        ({"PixelSize": [100, 100], "PixelSizeUnits": "parsec"}, StudyError, r"PixelSize \[100, 100\] in 'parsec'"),
        ({"PixelSize": [0, 0], "PixelSizeUnits": "um"}, StudyError, r"PixelSize \[0, 0\] in 'um'"),
        ({"PixelSize": [100, 100]}, StudyError, "no pixel size"),
        ({"PixelSize": [100], "PixelSizeUnits": "um"}, StudyError, "no pixel size"),
        ({"PixelSize": "100 um", "PixelSizeUnits": "um"}, StudyError, "no pixel size"),
    ],
)
def test_pixel_sizes_that_cannot_be_used_are_named(tmp_path, facts, error, found):
    write_dataset(tmp_path, NAMES, {"BF.json": facts})
    with pytest.raises(error, match=rf"sub-01_sample-000_BF.json: found 2 problems: \(1\) {found}"):
        from_bids(tmp_path)
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize("entity", ["chunk", "ses"])
def test_several_images_of_a_section_are_named(tmp_path, entity):
    names = [NAMES[0].replace("_BF", f"_{entity}-{i}_BF") for i in (1, 2)]
    write_dataset(tmp_path, [*names, NAMES[1]], {"BF.json": SIZE})
    found = f"2 images: sub-01_sample-000_{entity}-1_BF, sub-01_sample-000_{entity}-2_BF"
    with pytest.raises(StudyError, match=rf"samples.tsv: sub-01, sample-000: found {found}.*Way out: join the chunks"):
        from_bids(tmp_path)


def test_one_image_in_two_formats_is_one_image(tmp_path):
    write_dataset(tmp_path, [*NAMES, NAMES[0].replace(".png", ".tif")], {"BF.json": SIZE})
    assert BidsFiles(tmp_path).image("01", "000").suffix == ".tif"
