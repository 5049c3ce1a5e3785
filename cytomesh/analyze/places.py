"""How finely an encoder tells places within a patch apart: the side of its grid of tokens or of a feature map."""

from __future__ import annotations

from cytomesh.pretrain.encoder import PatchEncoder

LEAST_SIDE = 7
"""Places along a side that a map needs to show anything: those of a ResNet's last one on 224 px."""


def few_places(encoder: PatchEncoder, rows: int, columns: int) -> str:
    """Return what to say of maps of so many places, empty unless there are fewer than `LEAST_SIDE` along a side."""
    if min(rows, columns) >= LEAST_SIDE:
        return ""
    size_px = encoder.patches.size_px
    return (
        f"{encoder.config.name} has {rows} x {columns} places (tokens) in a patch of {size_px} px, one every "
        f"{size_px / rows:g} px: its maps say little of where in the patch something is; encoders trained on larger "
        "patches, or of a smaller encoder.patch_size, say more"
    )
