"""Of every name that somebody types, the nearest one there is is asked for."""

import shlex
import shutil

import pytest

RUN = "--out {run}"


@pytest.fixture(scope="module")
def run(small_chain, tmp_path_factory):
    """A copy: what fails is noted in the run."""
    return shutil.copytree(small_chain.run, tmp_path_factory.mktemp("names") / "run")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("settings pretrian", "pretrain"),
        ("clasify", "classify"),
        ("export freesurfr", "freesurfer"),
        ("init {new} --images {study} --spacing-mm 1 --kind blok", "block"),
        ("init {new} --images {study} --spacing-mm 1 --kind block --cut Coronl", "coronal"),
        ("phantom-maps --out {new} --style HPC", "hcp"),
        ("phantom-cells {study} --brain T1", "T01"),
        ("build-graph x.yaml --out {new} --on-bad-section skpi", "skip"),
        (f"classify --config GATT {RUN}", "gat"),
        (f"classify --set model.kind=gatt {RUN}", "gat"),
        (f"classify --set inputs.names=[thicknes] {RUN}", "thickness"),
        (f"classify --set split.kind=brian {RUN}", "brain"),
        (f"classify --set 'split={{{{kind: brain, train: [T1], test: [T02]}}}}' {RUN}", "T01"),
        (f"classify --set areas.leave_out=[p002] {RUN}", "P02"),
        (f"classify-predict --model {{run}}/classify/linaer {RUN}", "linear"),
        (f"classify-compare linaer linear {RUN}", "linear"),
        (f"embed --encoder ViTs {RUN}", "vit"),
        (f"parcellate --set encoder=vitt {RUN}", "vit"),
        (f"parcellate --set method=spectrl {RUN}", "spectral"),
        (f"variation --set features=[vitt] {RUN}", "vit"),
        (f"inspect --set features=vitt {RUN}", "vit"),
        (f"inspect --set examples.areas=[p002] {RUN}", "P02"),
        (f"evaluate --set encoders=[vitt] {RUN}", "vit"),
        (f"resample a.func.gii b.func.gii --from T1_hemi-L --to fsaverage5 {RUN}", "T01_hemi-L"),
        ("pretrain --set encoder.name=resnet_18 --set patches.size_px=32 --out {run} --name new", "resnet18"),
        ("images cut {run} --node T1_hemi-L:0 --out {new}.tif", "T01_hemi-L"),
        ("images cut {study}/study.yaml --box 0 0 9 9 --section T1:1 --out {new}.tif", "T01"),
    ],
)
def test_the_nearest_name_is_asked_for(small_chain, run, cytomesh, tmp_path, words, near):
    places = {"run": run, "study": small_chain.study, "new": tmp_path / "new"}
    code, _, said = cytomesh(*(word.format(**places) for word in shlex.split(words)))
    plain = " ".join(said.replace("│", " ").split()).casefold()  # typer draws a box around what it says
    assert code in (1, 2), said
    assert f"did you mean '{near.casefold()}'" in plain, said
