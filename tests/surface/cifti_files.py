"""CIFTI-2 files of scalars, as other programs write them."""

import nibabel as nib
import numpy as np
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, ScalarAxis

SIDES = {"L": "CORTEX_LEFT", "R": "CORTEX_RIGHT"}


def write_cifti_scalars(path, maps):
    """Write named maps, (n,) each, of one or both hemispheres, the same names for both."""
    rows = {side: np.stack(list(maps[side].values())).astype(np.float32) for side in sorted(maps)}
    models = [BrainModelAxis.from_surface(np.arange(r.shape[1]), r.shape[1], name=SIDES[s]) for s, r in rows.items()]
    axis = ScalarAxis(list(next(iter(maps.values()))))
    image = Cifti2Image(np.concatenate(list(rows.values()), axis=1), header=(axis, sum(models[1:], models[0])))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS")
    nib.save(image, path)
