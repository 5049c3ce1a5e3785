"""What pretraining takes from the data where its settings leave it open: patches, the kernel's width, the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cytomesh.core.errors import ConfigError
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.patches import SLACK
from cytomesh.pretrain.config import EncoderConfig, PatchConfig, PretrainConfig
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCEConfig
from cytomesh.pretrain.pool import PatchPool
from cytomesh.study.section_order import positions

Say = Callable[[str], None]

AUTO = "auto"
ENCODERS = {"cpu": "resnet18", "cuda": "resnet50"}
MOST_PX = {"cpu": 128, "cuda": 256}
"""Sides of patches that a batch of these encoders is trained on in reasonable time and memory."""
LEAST_PX, TOKEN_PX = 32, 16
FIELD_OF_VIEW = 1.6
"""Of the cortex's thickness: 4 mm for human cortex, which show all layers and where white matter begins."""
SIGMA = 1.2
"""Of the cortex's thickness: 3 mm for human cortex."""
RADIUS_SIGMAS, REACH_SIGMAS = 2.0, 3.0


def from_data(
    settings: PretrainConfig, pool: PatchPool, graphs: Sequence[CortexGraph], device: str, say: Say | None = None
) -> PretrainConfig:
    """Return settings with what they leave open filled in; every rank comes to the same.

    Parameters
    ----------
    pool, graphs : PatchPool, sequence of CortexGraph
        What is trained on.
    device : {"cpu", "cuda"}
        Where.
    say : callable, optional
        Takes a line on each choice and its reason.

    Raises
    ------
    ConfigError
        If a choice has to be made and the cortex of no node is thicker than nothing.
    """
    tell = say or (lambda _: None)
    encoder = _encoder(settings.encoder, device, tell)
    patches, sampling, objectives = settings.patches, settings.sampling, settings.objectives
    spatial, image_um = objectives.of(SpatialNCEConfig), _um_per_px(pool)
    if not (patches.size_px and patches.um_per_px):
        patches = _patches(patches, encoder, _thickness_mm(graphs), image_um, device, tell)
    if patches.um_per_px * SLACK < image_um:
        tell(f"  patches.um_per_px: {patches.um_per_px:g} is finer than the images, {image_um:g}: interpolated")
    if not (sampling.radius_mm and (spatial is None or (spatial.sigma_mm and spatial.reach_mm))):
        given = spatial.sigma_mm if spatial else 0.0
        sigma = given or _sigma(_thickness_mm(graphs), _spacing_mm(pool), tell if spatial else lambda _: None)
        sampling = sampling.model_copy(update={"radius_mm": sampling.radius_mm or RADIUS_SIGMAS * sigma})
        if spatial:
            widths = {"sigma_mm": sigma, "reach_mm": spatial.reach_mm or REACH_SIGMAS * sigma}
            name = next(name for name, section in objectives.named().items() if section is spatial)
            objectives = objectives.model_copy(update={name: spatial.model_copy(update=widths)})
    filled = {"encoder": encoder, "patches": patches, "sampling": sampling, "objectives": objectives}
    return settings.model_copy(update=filled)


def _encoder(config: EncoderConfig, device: str, say: Say) -> EncoderConfig:
    if config.name != AUTO:
        return config
    say(f"  encoder.name: {ENCODERS[device]} (on a {'GPU' if device == 'cuda' else 'CPU'})")
    return config.model_copy(update={"name": ENCODERS[device]})


def _patches(
    config: PatchConfig, encoder: EncoderConfig, thickness_mm: float, image_um: float, device: str, say: Say
) -> PatchConfig:
    """Choose the pixel size, the side or both, so that patches show the cortex and a little more."""
    view_um = 1000 * FIELD_OF_VIEW * thickness_mm
    um, size = config.um_per_px, config.size_px
    if not um:
        most = size or MOST_PX[device]
        um = max(image_um, float(f"{view_um / most:.3g}"))
        reason = "that of the images" if um == image_um else f"cortex of {thickness_mm:.2g} mm in at most {most} px"
        say(f"  patches.um_per_px: {um:g} ({reason})")
    if not size:
        step = encoder.patch_size or TOKEN_PX
        size = max(step * round(view_um / um / step), LEAST_PX)
        say(f"  patches.size_px: {size} ({size * um / 1000:.2g} mm for cortex of {thickness_mm:.2g} mm)")
    return config.model_copy(update={"um_per_px": um, "size_px": size})


def _sigma(thickness_mm: float, spacing_mm: float, say: Say) -> float:
    sigma = float(f"{max(SIGMA * thickness_mm, spacing_mm):.2g}")
    reason = f"cortex of {thickness_mm:.2g} mm" if SIGMA * thickness_mm > spacing_mm else "the spacing of sections"
    say(f"  objectives.spatial_nce.sigma_mm: {sigma:g} ({reason})")
    return sigma


def _thickness_mm(graphs: Sequence[CortexGraph]) -> float:
    """Return the median thickness of the cortex at linked nodes, mm."""
    values = [np.asarray(graph.nodes["thickness_mm"], np.float64)[graph.is_linked] for graph in graphs]
    known = np.concatenate(values)
    known = known[known > 0]
    if not known.size:
        expected, hint = "the thickness of the cortex", "set patches.size_px and um_per_px, and sampling.radius_mm"
        raise ConfigError("patches", found="no thickness at any node", expected=expected, hint=hint)
    return float(np.median(known))


def _um_per_px(pool: PatchPool) -> float:
    """Return the median pixel size of the images, um."""
    return float(np.median([part.section.um_per_px for part in pool.sections]))


def _spacing_mm(pool: PatchPool) -> float:
    """Return the median distance of neighbouring sections with patches, mm; 0 where no brain has two."""
    brains: dict[str, list[float]] = {}
    for brain in dict.fromkeys(part.section.brain for part in pool.sections):
        places = positions([part.section for part in pool.sections if part.section.brain == brain])
        brains[brain] = np.diff(np.sort(places)).tolist()
    gaps = [gap for found in brains.values() for gap in found]
    return float(np.median(gaps)) if gaps else 0.0
