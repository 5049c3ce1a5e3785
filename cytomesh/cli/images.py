"""`cytomesh images`: what the program reads of an image, and copies that are read faster."""

from __future__ import annotations

import os
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytomesh.cli.options import (
    AsJson,
    BadSection,
    OnBadSection,
    Resume,
    Scheduler,
    SchedulerFile,
    Workers,
    show,
    tell,
)
from cytomesh.core.progress import log, warn
from cytomesh.core.remote import RemotePath, as_path

if TYPE_CHECKING:
    from cytomesh.study.image_formats.reader import ImageHeader
    from cytomesh.study.study import Study


class OmeVersion(StrEnum):
    """Versions of OME-Zarr that are written."""

    v05 = "0.5"
    v04 = "0.4"


app = typer.Typer(no_args_is_help=True, help="Look at images, convert them to OME-Zarr.")
Scene = Annotated[
    int | None,
    typer.Option(
        "--scene", help="Number of the scene, or slice, from 0, in a file of several.", show_default=False, min=0
    ),
]
PlaneZ = Annotated[int | None, typer.Option("--z", help="Plane in depth, from 0.", show_default=False, min=0)]
PlaneT = Annotated[int | None, typer.Option("--t", help="Plane in time, from 0.", show_default=False, min=0)]


@app.command("info")
def info(
    image: Annotated[Path, typer.Argument(help="Image, or its address.", metavar="IMAGE", parser=as_path)],
    scene: Scene = None,
    z: PlaneZ = None,
    t: PlaneT = None,
    as_json: AsJson = False,
) -> None:
    """Print what an image says of itself, and how it is read: size, um/px, channels, levels, values, a window."""
    from cytomesh.core.errors import ConfigError
    from cytomesh.study.image_formats.part import ImagePart
    from cytomesh.study.image_formats.registry import read_header, reader_of
    from cytomesh.study.manifest import is_manifest

    if is_manifest(image):
        hint = f"cytomesh study check {image}: what is in it, and what is wrong"
        raise ConfigError("IMAGE", found=f"a study, {image}", expected="one image", hint=hint)
    _refuse_absent(image)
    header = read_header(image, ImagePart(scene, z, t))
    reader = reader_of(image)
    height, width = header.shape
    facts: dict[str, Any] = {
        "image": str(image),
        "reader": reader.__name__,
        "width_px": width,
        "height_px": height,
        "um_per_px": "not stated" if header.um_per_px is None else header.um_per_px,
        "channels": _channels(header),
        "dtype": header.dtype,
        "alpha": header.alpha or "none",
        "axes": header.axes or "yx" + "c" * (header.n_channels > 1),
        "decoded": "as a whole" if reader.decodes_whole else "by tiles",
    }
    if header.um_per_px is not None:
        facts["width_mm"], facts["height_mm"] = (round(n * header.um_per_px / 1000, 3) for n in (width, height))
    for level in header.levels:
        rows, columns = level.shape
        facts[f"level {level.name}"] = f"{columns} x {rows} px, each of {level.scale[1]:g} x {level.scale[0]:g} px"
    tell(facts | _values(header), as_json)


@app.command("convert")
def convert(
    source: Annotated[
        Path, typer.Argument(help="One image, or its address, or a study.", metavar="IMAGE|STUDY.yaml", parser=as_path)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write (*.ome.zarr); for a study, theirs.")],
    um_per_px: Annotated[
        float | None,
        typer.Option("--um-per-px", help="Pixel size of an image that states none.", show_default=False, min=1e-4),
    ] = None,
    scene: Scene = None,
    z: PlaneZ = None,
    t: PlaneT = None,
    update_study: Annotated[
        bool, typer.Option("--update-study", help="Let the study's section tables name the copies.")
    ] = False,
    ome_version: Annotated[
        OmeVersion, typer.Option("--ome-version", help="OME-Zarr to write: 0.4 is what QuPath and Bio-Formats read.")
    ] = OmeVersion.v05,
    on_bad_section: BadSection = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    scheduler_file: SchedulerFile = None,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Copy an image, or all of a study, to OME-Zarr: tiles, a pyramid, each copy compared with its original.

    Convert before you build and pretrain: with --update-study, results that were made from the originals are stale.
    """
    from cytomesh.core.errors import ConfigError
    from cytomesh.core.parallel import available_cpus
    from cytomesh.core.sections import scheduler_address
    from cytomesh.imaging.convert import convert_image
    from cytomesh.imaging.convert_study import convert_study
    from cytomesh.study.image_formats.part import ImagePart
    from cytomesh.study.manifest import is_manifest

    n_workers = workers or available_cpus()
    address = scheduler_address(scheduler, scheduler_file)
    if not is_manifest(source):
        if update_study:
            raise ConfigError("--update-study", found=str(source), expected="a study", hint="give its study.yaml")
        if address is not None:
            hint = "leave it out: the rows of one image are converted by --workers of this machine"
            raise ConfigError("--scheduler", found=str(source), expected="a study", hint=hint)
        _refuse_absent(source)
        how: dict[str, Any] = {"part": ImagePart(scene, z, t), "ome_version": ome_version.value}
        made = convert_image(source, out, um_per_px, workers=n_workers, resume=resume, **how)
        show({"image": str(out), "converted": int(made), "kept": int(not made)}, as_json)
        return
    _refuse_for_studies({"--um-per-px": um_per_px, "--scene": scene, "--z": z, "--t": t})
    skip_bad = on_bad_section is OnBadSection.skip
    how = {"update": update_study, "skip_bad": skip_bad, "ome_version": ome_version.value}
    done = convert_study(source, out, workers=n_workers, scheduler=address, resume=resume, **how)
    facts: dict[str, Any] = {"converted": len(done.copies) - done.n_kept, "kept": done.n_kept}
    facts |= {"left out": len(done.left_out), "tables written": len(done.tables)}
    show(facts, as_json)
    for table in done.tables:
        log(f"{table} now names the copies")
    if done.tables:
        warn("results that were made from the original images are stale now")
    for section, problem in done.left_out.items():
        warn(f"{section} is left out: {problem}")


@app.command("cut")
def cut(
    source: Annotated[
        Path,
        typer.Argument(
            help="One image, or its address; a study; or a run.", metavar="IMAGE|STUDY.yaml|RUN", parser=as_path
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .tif or .png.")],
    box: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option("--box", help="Column, row, width and height, px of the full image.", show_default=False),
    ] = None,
    section: Annotated[
        str | None, typer.Option("--section", help="Of a study, for --box: BRAIN:NUMBER.", show_default=False)
    ] = None,
    node: Annotated[
        str | None,
        typer.Option("--node", help="Of a run: GRAPH:NUMBER, cut with its pial side up.", show_default=False),
    ] = None,
    at: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            "--at", help="World position in a study's brain, mm, right anterior superior.", show_default=False
        ),
    ] = None,
    brain: Annotated[str | None, typer.Option("--brain", help="For --at.", show_default=False)] = None,
    size_px: Annotated[int, typer.Option("--size-px", help="Side of the square for --node and --at.", min=1)] = 1024,
    um_per_px: Annotated[
        float | None,
        typer.Option(
            "--um-per-px", help="Pixel size to write; the image's own unless given.", show_default=False, min=1e-4
        ),
    ] = None,
    scene: Scene = None,
    z: PlaneZ = None,
    t: PlaneT = None,
    as_json: AsJson = False,
) -> None:
    """Cut a region out of an image, or a square around a node or a point of the brain, with its scale in the header.

    --box takes pixels as they are stored; --node and --at as encoders see them: 8 bits, channels and window as in the
    study.
    """
    import numpy as np

    from cytomesh.core.errors import ConfigError
    from cytomesh.graph.cut_outs import cut_node, cut_point
    from cytomesh.imaging.cut import cut_section, cut_stored, write_cut
    from cytomesh.imaging.normalise import normalised
    from cytomesh.study.image_formats.part import ImagePart
    from cytomesh.study.manifest import is_manifest

    places = {"--box": box, "--node": node, "--at": at}
    if sum(place is not None for place in places.values()) != 1:
        given = ", ".join(name for name, place in places.items() if place is not None) or "none"
        raise ConfigError("images cut", found=given, expected="one of --box, --node and --at")
    for option, value, only in (("--section", section, "--box"), ("--brain", brain, "--at")):
        if value is not None and places[only] is None:
            raise ConfigError(option, found=value, expected=f"{only} beside it", hint="leave one of them out")
    _refuse_absent(source)
    if node is not None and not source.is_dir():
        expected = "a run, the folder that build-graph wrote"
        raise ConfigError("--node", found=str(source), expected=expected, hint="give RUN instead")
    if node is not None or is_manifest(source):
        _refuse_for_studies({"--scene": scene, "--z": z, "--t": t})
    if node is not None:
        graph, number = _two(node, "--node", "GRAPH:NUMBER, as B01_hemi-L:1204")
        pixels, facts = cut_node(source, graph, number, size_px, um_per_px)
    elif at is not None:
        study = _study(source, "--at")
        known = [each.id for each in study.brains]
        one = brain or (known[0] if len(known) == 1 else None)
        if one is None:
            raise ConfigError("--brain", found="none", expected=f"one of {', '.join(known)}")
        pixels, facts = cut_point(normalised(study).brain(one), np.array(at), size_px, um_per_px)
    else:
        assert box is not None
        if section is not None:
            study = _study(source, "--section")
            name, number = _two(section, "--section", "BRAIN:NUMBER, as B01:12")
            pixels, facts = cut_section(study.brain(name).section(number), box, um_per_px)
        elif is_manifest(source):
            raise ConfigError("--section", found="none", expected="BRAIN:NUMBER, for --box in a study")
        else:
            pixels, facts = cut_stored(source, box, um_per_px, part=ImagePart(scene, z, t))
    image = Path(facts["image"])
    if image.exists() and out.exists() and out.samefile(image):
        raise ConfigError("--out", found=f"the image that is cut, {out}", expected="another name")
    write_cut(out, pixels, facts["um_per_px"], facts.get("channels", ()))
    height, width = pixels.shape[:2]
    show({**facts, "width_px": width, "height_px": height, "written": str(out)}, as_json)


def _study(path: Path, option: str) -> Study:
    """Open the study that an option needs."""
    from cytomesh.core.errors import ConfigError
    from cytomesh.study.manifest import is_manifest
    from cytomesh.study.study import open_study

    if not is_manifest(path):
        raise ConfigError(option, found=str(path), expected="a study, its study.yaml")
    return open_study(path)


def _two(text: str, option: str, expected: str) -> tuple[str, int]:
    """Return the name and the number in NAME:NUMBER."""
    from cytomesh.core.errors import ConfigError

    name, colon, number = text.rpartition(":")
    if not (colon and name and number.isdecimal()):
        raise ConfigError(option, found=text, expected=expected)
    return name, int(number)


def _refuse_for_studies(options: dict[str, float | None]) -> None:
    """Raise ConfigError for what is said of one image, given with a study or a run."""
    from cytomesh.core.errors import ConfigError

    for option, value in options.items():
        if value is not None:
            hint = "leave it out: the section tables, and image.plane in the manifest, say it"
            raise ConfigError(option, found="a study", expected="one image", hint=hint)


def _refuse_absent(path: Path) -> None:
    """Raise ImageError if there is nothing under a name that was typed."""
    from cytomesh.core.errors import ImageError

    if not isinstance(path, RemotePath) and not os.path.lexists(path):
        raise ImageError(path, found="no such image", hint="correct the path")


def _channels(header: ImageHeader) -> str:
    from cytomesh.study.pixels import channel_list

    usual = {1: "grey", 3: "RGB"} if header.dtype == "uint8" or header.n_channels == 1 else {}
    named = ", ".join(channel_list(header))
    return named if header.channel_names else usual.get(header.n_channels, named)


def _values(header: ImageHeader) -> dict[str, Any]:
    """Return least and greatest value of each channel in the coarsest level, and a window that holds nearly all."""
    from cytomesh.core.errors import ImageError
    from cytomesh.study.image_formats.registry import open_reader
    from cytomesh.study.pixels import channel_list, propose_window, sample

    try:
        with closing(open_reader(header)) as reader:
            pixels = sample(reader)
    except ImageError as error:
        return {"values": f"cannot be read: {error.found}"}
    facts = {}
    for i, name in enumerate(channel_list(header)):
        place = f" of channel {name}" if header.n_channels > 1 else ""
        facts[f"values{place}"] = f"{pixels[:, i].min():g} to {pixels[:, i].max():g}"
        if header.dtype != "uint8":
            low, high = propose_window(pixels[:, i])
            facts[f"image.window{place}"] = f"[{low:g}, {high:g}], proposed"
    return facts
