"""
Weights of SpatialNCE
=====================

SpatialNCE draws patches together by their distance in the cortex: the weight of a pair is a kernel of its distance,
and zero beyond the reach.
"""

import matplotlib.pyplot as plt
import torch

from cytomesh import SpatialNCE
from cytomesh.pretrain.batch import PatchBatch

# %%
# The first patch lies at the origin, the others up to 12 mm from it. The reach is three times sigma by default.
distances_mm = torch.linspace(0, 12, 241)
position = torch.stack([distances_mm, torch.zeros(241), torch.zeros(241)], 1)
patches = PatchBatch.of(241, torch.device("cpu"), position=position, section=torch.arange(241))

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for kernel, style in (("gaussian", "-"), ("exponential", "--"), ("inverse", ":"), ("radius", "-.")):
    weights = SpatialNCE(sigma_mm=3.0, kernel=kernel).weights(patches[:1], patches)
    axes.plot(distances_mm, weights[0], style, label=kernel)
axes.set(xlabel="distance in the cortex (mm)", ylabel="weight of the pair", title="sigma 3 mm, reach 9 mm")
axes.legend()
plt.show()
