"""Displacement fields as files."""

import numpy as np


def write_warp(path, warp):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, displacement_px=warp.values, origin_px=warp.origin_px, step_px=warp.step_px)
