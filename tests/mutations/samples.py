"""One sound file of every kind that the program reads, small."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SIDE = 64
SETTINGS = {
    "encoder": {"name": "test_resnet", "options": {"stem_width": 4, "channels": [4, 6, 6, 8]}},
    "patches": {"size_px": 32, "um_per_px": 500.0},
    "augment": {"mean": 0.4, "std": 0.3},
    "schedule": {"steps": 3, "warmup_steps": 1},
    "sampling": {"seeds_per_batch": 8, "radius_mm": 6.0},
    "objectives": {"spatial_nce": {"sigma_mm": 3.0}},
    "device": "cpu",
}
RINGS = {
    "pial_L": [[8, 8], [56, 8], [56, 56], [8, 56], [8, 8]],
    "white_L": [[16, 16], [48, 16], [48, 48], [16, 48], [16, 16]],
}


def write_samples(folder: Path) -> None:
    """Write one sound file of every kind."""
    _write_study(folder)
    _write_contours(folder / "study")
    _write_images(folder / "study")
    _write_volumes(folder / "study")
    _write_cells(folder / "cells")
    _write_run(folder / "own")


def _write_study(folder: Path) -> None:
    study = folder / "study"
    study.mkdir(parents=True)
    manifest = {
        "name": "small", "species": "Homo sapiens", "stain": "Nissl", "space": {"name": "here"},
        "atlas": {"labels": "labels.tsv", "probability_maps": "maps.nii.gz", "space": "here"},
        "contours": {"classes": {"Outer": "pial_L"}, "labels": {"pial_L": [1, 2], "white_L": [2]}},
        "brains": [{"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv",
                    "to_reference": {"affine": np.eye(4).tolist(), "displacement": "field.nii.gz"}}],
    }  # fmt: skip
    (study / "study.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS, sort_keys=False))
    (folder / "set").write_text("schedule.steps=3")
    (study / "labels.tsv").write_text("index\tname\tr\tg\tb\ta\n1\tV1\t255\t0\t0\t255\n2\tV2\t0\t255\t0\t255\n")
    head = ["section", "image", "um_per_px", "to_world", "contours", "annotation", "role", "status"]
    rows = [
        [str(i), f"s{i}.png", "100.0", f"0.1,0,0,0,0,{i}.5,0,-0.1,0", f"s{i}.geojson", "n/a", "train", "ok"]
        for i in range(3)
    ]
    (study / "sections.tsv").write_text("".join("\t".join(row) + "\n" for row in [head, *rows]))


def _write_contours(study: Path) -> None:
    from roifile import ROI_TYPE, ImagejRoi

    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
         "properties": {"classification": {"name": name, "color": [0, 0, 255]}}} for name, ring in RINGS.items()
    ]  # fmt: skip
    (study / "c.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with zipfile.ZipFile(study / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, ring in RINGS.items():
            roi = ImagejRoi.frompoints(np.array(ring[:-1], np.float32), name=name)
            roi.roitype = ROI_TYPE.POLYGON
            archive.writestr(f"{name}.roi", roi.tobytes())
            if name == "pial_L":
                (study / "c.roi").write_bytes(roi.tobytes())
    paths = "".join(
        f'<path id="{name}" d="M{" L".join(f"{x},{y}" for x, y in ring)} Z"/>' for name, ring in RINGS.items()
    )
    head = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">'
    svg = f"{head}{paths}</svg>\n"
    (study / "c.svg").write_text(svg)
    points = [p for ring in RINGS.values() for p in ring[:-1]]
    vertices = "".join(f"{0.1 * (x - 0.5)} 0.5 {-0.1 * (y - 0.5)}\n" for x, y in points)
    (study / "c.csl").write_text(f"CSLC\n1 3\n1 8 2 0 1 0 -0.5\n{vertices}4 1 0 1 2 3\n4 2 4 5 6 7\n")
    regions = [
        {"annotation": {"name": name}, "path": ["Path", {"applyMatrix": True, "segments": ring[:-1], "closed": True}]}
        for name, ring in RINGS.items()
    ]
    (study / "m.json").write_text(json.dumps({"Regions": regions}))


def _write_images(study: Path) -> None:
    import tifffile
    from PIL import Image

    from cytomesh.imaging.ome_zarr import write_ome_zarr

    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (SIDE, SIDE), np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:56, 8:56], mask[16:48, 16:48] = 1, 2
    for i in range(3):
        Image.fromarray(grey).save(study / f"s{i}.png")
        shutil.copyfile(study / "c.geojson", study / f"s{i}.geojson")
    Image.fromarray(np.dstack([grey] * 3)).save(study / "i.png")
    Image.fromarray(grey).save(study / "i.jpg", quality=90)
    Image.fromarray(mask).save(study / "mask.png")
    tifffile.imwrite(study / "mask.tif", mask, compression="zlib")
    tifffile.imwrite(study / "i.tif", grey, resolution=(100, 100), resolutionunit="CENTIMETER")
    with tifffile.TiffWriter(study / "i.ome.tif", ome=True) as tiff:
        facts = {"axes": "YX", "PhysicalSizeX": 100.0, "PhysicalSizeY": 100.0}
        tiff.write(grey, tile=(32, 32), compression="zlib", subifds=1, metadata=facts)
        tiff.write(grey[::2, ::2], tile=(32, 32), compression="zlib", subfiletype=1)
    write_ome_zarr(study / "i.ome.zarr", grey, 100.0, 2)


def _write_volumes(study: Path) -> None:
    import nibabel as nib

    rng = np.random.default_rng(0)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -5

    def save(name: str, values: np.ndarray[Any, Any], matrix: np.ndarray[Any, Any] = affine) -> None:
        image = nib.Nifti1Image(values, matrix)
        image.header.set_xyzt_units("mm")
        nib.save(image, study / name)

    maps = rng.random((10, 10, 10, 2)).astype(np.float32) / 2
    volume = np.zeros((10, 10, 10), np.uint8)
    volume[1:9, 1:9, 1:9], volume[3:7, 3:7, 3:7] = 1, 2
    save("maps.nii.gz", maps)
    save("maps.nii", maps)
    save("field.nii.gz", (rng.random((10, 10, 10, 3)) / 10).astype(np.float32))
    save("volume.nii.gz", volume)
    labels = np.zeros((SIDE, SIDE), np.int16)
    labels[8:20, 8:30] = 1
    nib.save(nib.Nifti1Image(labels, np.eye(4)), study / "labels.nii")
    grid = np.diag([1.6, 1.6, 1.0, 1.0])
    save("warp.nii.gz", (rng.random((5, 5, 1, 1, 2)) / 100).astype(np.float32), grid)
    facts = {"displacement_px": rng.random((5, 5, 2)), "origin_px": np.zeros(2), "step_px": np.full(2, 16.0)}
    np.savez(study / "warp.npz", **facts)


def _write_cells(cells: Path) -> None:
    """Write two squares in every format of cells."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image
    from roifile import ROI_TYPE, ImagejRoi

    cells.mkdir()
    squares = [np.array(ring[:-1]) for ring in RINGS.values()]
    rows = [(*square.mean(axis=0), 3.0 + i, i + 1) for i, square in enumerate(squares)]
    names = ("x_um", "y_um", "area_um2", "layer")
    text = "".join("\t".join(map(str, row)) + "\n" for row in [names, *rows])
    (cells / "c.tsv").write_text(text)
    (cells / "segments.txt").write_text("# " + text.replace("\t", " "))
    table = pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    pq.write_table(table.replace_schema_metadata({"um_per_px": "0.5"}), cells / "c.parquet")
    lines = [",".join(str(value) for value in square.ravel()) for square in squares]
    (cells / "c_cp_outlines.txt").write_text("\n".join(lines) + "\n")
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"objectType": "cell"},
        }
        for ring in RINGS.values()
    ]
    (cells / "c.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with zipfile.ZipFile(cells / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i, square in enumerate(squares):
            roi = ImagejRoi.frompoints(square.astype(np.float32), name=str(i))
            roi.roitype = ROI_TYPE.POLYGON
            archive.writestr(f"{i}.roi", roi.tobytes())
    labels = np.zeros((SIDE, SIDE), np.uint16)
    labels[8:20, 8:20], labels[30:44, 30:40] = 1, 700
    Image.fromarray(labels).save(cells / "c_cp_masks.png")
    (cells / "layerinfo.txt").write_text(
        "# Number Name Area(micron**2) AvgThickness(micron)\n1 I 4000 50\n2 II 3000 40\n"
    )


def _write_run(folder: Path) -> None:
    import torch

    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.classify.run import classify_run
    from cytomesh.core.config import load_config
    from cytomesh.core.files import write_json
    from cytomesh.pretrain.checkpoints import save_best
    from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
    from cytomesh.pretrain.embed import embed_run
    from cytomesh.pretrain.run import pretrain_run
    from tests.data.write_format import CLASSIFIERS, CONFIGS, ENCODER_SETTINGS
    from tests.pretrain.pretrain_study import write_run

    run = write_run(folder)
    records = [{"section": 0, "to_world": [[0.5, 0, 0], [0, 0, -20], [0, -0.5, 0]]}]
    for path in run.glob("graphs/*/qc.json"):
        write_json(path, {"sections": records, "checks": {}})
    pretrain_run(run, "small", load_config(PretrainConfig, CONFIGS / "pretrain" / "tiny.yaml", ENCODER_SETTINGS))
    save_best(run / "encoders/small/checkpoints", "key", 3, {"weight": torch.arange(64.0)})
    embed_run(run, "small", EmbedConfig(device="cpu"))
    for name, overrides in CLASSIFIERS.items():
        classify_run(run, name, load_config(ClassifyConfig, None, overrides))
