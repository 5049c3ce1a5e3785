"""A run for Connectome Workbench: a spec file a brain, and scenes that show its areas and parcels.

Of a scene file, Workbench restores what it finds and leaves the rest as it is by default. Written here is the least
that shows a surface montage: the files, the tab, its model with the surfaces and the layers over them, the window
(classes SpecFile, BrowserTabContent, ModelSurfaceMontage, Overlay in Workbench's sources; wb_command 1.5 renders it).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from cytomesh.core.files import write_text
from cytomesh.export.exporting import exporting
from cytomesh.export.results import label_files, refuse_stale, surface_files
from cytomesh.graph.storage import MEASURES, CortexGraph, graph_folder, load_graphs
from cytomesh.surface.formats import workbench_type, write_spec

FOLDER = "workbench"
SCENES = "run.scene"
SIDES = {"L": "left", "R": "right"}
# Above and below in the montage; inflated ones are there once a registration has made them.
SHOWN = ("midthickness", "inflated")


def export_workbench(run: Path) -> list[Path]:
    """Write `workbench/<brain>.spec` for every brain of a run, and `workbench/run.scene`: one scene a brain and result.

    Both name the run's own files relative to themselves, so that they hold where the run is moved as a whole.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    StaleError
        If a result is stale.
    StorageError
        If files would be replaced that were changed since they were exported.
    """
    folder, all_graphs = run / FOLDER, load_graphs(run)
    refuse_stale(run, all_graphs)
    specs: dict[str, list[tuple[Path, str]]] = {}
    scenes: list[tuple[str, Element]] = []
    for brain, some in groupby(all_graphs, lambda graph: graph.brain):
        graphs = {graph.hemisphere: graph for graph in some}
        surfaces = {side: surface_files(run, graph) for side, graph in graphs.items()}
        labels = {side: label_files(run, graph) for side, graph in graphs.items()}
        files = [
            (path, side)
            for side, graph in graphs.items()
            for path in (*surfaces[side].values(), *labels[side].values(), *_measure_files(run, graph))
        ]
        specs[f"{brain}.spec"] = files
        names = dict.fromkeys(name for of_side in labels.values() for name in of_side)
        for name in names:
            layers = [of_side[name] for of_side in labels.values() if name in of_side]
            scenes.append((f"{brain}: {name}", _scene(folder, files, surfaces, layers)))
    with exporting(run, folder) as stage:
        for name, files in specs.items():
            write_spec(stage / name, files, folder)
        if scenes:
            _write_scenes(stage / SCENES, scenes)
    return [folder / name for name in (*specs, *([SCENES] if scenes else []))]


def _measure_files(run: Path, graph: CortexGraph) -> list[Path]:
    files = [graph_folder(run, graph.name) / f"{name}.shape.gii" for name, *_ in MEASURES.values()]
    return [path for path in files if path.is_file()]


def _write_scenes(path: Path, scenes: Sequence[tuple[str, Element]]) -> None:
    root = Element("SceneFile", Version="3")
    directory = SubElement(root, "SceneInfoDirectory")
    for index, (name, content) in enumerate(scenes):
        info = SubElement(directory, "SceneInfo", Index=str(index))
        scene = SubElement(root, "Scene", Index=str(index), Type="SCENE_TYPE_FULL")
        for element in (info, scene):
            SubElement(element, "Name").text = name
            SubElement(element, "Description").text = "written by cytomesh"
        scene.append(content)
    indent(root)
    write_text(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n")


def _scene(
    folder: Path,
    files: Iterable[tuple[Path, str]],
    surfaces: Mapping[str, Mapping[str, Path]],
    layers: Sequence[Path],
) -> Element:
    """Return a montage of the surfaces with labels over them, one layer a hemisphere, in one window."""

    def place(path: Path) -> str:
        return Path(os.path.relpath(path, folder)).as_posix()

    data_files = [
        _class(
            "SpecFileDataFile",
            "specFileDataFile",
            _value("enumeratedType", "dataFileType", workbench_type(path)),
            _value("enumeratedType", "structure", f"CORTEX_{SIDES[side].upper()}"),
            _value("pathName", "fileName", place(path)),
            _value("boolean", "selected", "true"),
            _value("boolean", "savingSelected", "false"),
        )
        for path, side in files
    ]
    overlays = [
        _class(
            "Overlay",
            "m_overlays",
            _value("boolean", "m_enabled", "true"),
            _value("pathName", "selectedMapFileNameWithPath", place(path)),
            _value("string", "selectedMapFile", path.name),
            _value("integer", "selectedMapIndex", "0"),
        )
        for path in layers
    ]
    overlay_set = _class(
        "OverlaySet",
        "overlaySet",
        _value("integer", "m_numberOfDisplayedOverlays", str(len(overlays))),
        _array("class", "m_overlays", overlays),
    )
    selections = []
    for side, kinds in surfaces.items():
        for kind, row in zip(SHOWN, ("", "Second"), strict=True):
            if kind in kinds:
                chosen = _value("pathName", "m_selectedSurfacePathName", place(kinds[kind]))
                name = f"m_{SIDES[side]}{row}SurfaceSelectionModel"
                selections.append(_map("class", name, _class("SurfaceSelectionModel", name, chosen)))
    is_inflated = all(SHOWN[1] in kinds for kinds in surfaces.values())
    shown = {
        "m_leftEnabled": "L" in surfaces,
        "m_rightEnabled": "R" in surfaces,
        "m_firstSurfaceEnabled": True,
        "m_secondSurfaceEnabled": is_inflated,
    }
    montage = _class(
        "ModelSurfaceMontage",
        "m_surfaceMontageModel",
        _value("enumeratedType", "m_modelType", "MODEL_TYPE_SURFACE_MONTAGE"),
        _array(
            "class",
            "m_overlaySet",
            [_class("modelOverlaySet", "m_overlaySet", _value("integer", "tabIndex", "0"), overlay_set)],
        ),
        _value("integer", "montageVersion", "2"),
        *selections,
        *(_map("boolean", name, str(value).lower()) for name, value in shown.items()),
    )
    spec = _class("SpecFile", "specFile", _array("class", "dataFilesArray", data_files))
    structures = _array("class", "m_brainStructures", [])  # it has to be there
    brain = _class("Brain", "m_brains", spec, _array("class", "models", [montage]), structures)
    tab = _class(
        "BrowserTabContent",
        "m_browserTabs",
        _value("integer", "m_tabNumber", "0"),
        _value("enumeratedType", "m_selectedModelType", "MODEL_TYPE_SURFACE_MONTAGE"),
    )
    session = _class(
        "SessionManager",
        "m_sessionManager",
        _array("class", "m_brains", [brain]),
        _array("class", "m_browserTabs", [tab]),
    )
    bar = _class(
        "BrainBrowserWindowToolBar",
        "m_toolbar",
        _array("integer", "tabIndices", ["0"]),
        _value("integer", "selectedTabIndex", "0"),
    )
    window = _class("BrainBrowserWindow", "m_brainBrowserWindows", bar)
    return _class("GuiManager", "guiManager", session, _array("class", "m_brainBrowserWindows", [window]))


def _class(kind: str, name: str, *members: Element) -> Element:
    element = Element("Object", Type="class", Class=kind, Name=name, Version="1")
    element.extend(members)
    return element


def _value(kind: str, name: str, text: str) -> Element:
    element = Element("Object", Type=kind, Name=name)
    element.text = text
    return element


def _array(kind: str, name: str, values: Sequence[Element | str]) -> Element:
    element = Element("ObjectArray", Type=kind, Name=name, Length=str(len(values)))
    for index, value in enumerate(values):
        _fill(SubElement(element, "Element", Index=str(index)), value)
    return element


def _map(kind: str, name: str, value: Element | str) -> Element:
    """Return a value for the first tab, of the several that there might be."""
    element = Element("ObjectMap", Type=kind, Name=name)
    _fill(SubElement(element, "Value", Key="0"), value)
    return element


def _fill(element: Element, value: Element | str) -> None:
    if isinstance(value, str):
        element.text = value
    else:
        element.append(value)
