"""
What a contrastive objective learns
===================================

SpatialNCE draws patches together by their distance in the cortex. An encoder that has to tell near from far learns
what changes along the cortex, and forgets what does not tell: the staining of a section, if pairs of one section do
not count.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.spatial import cKDTree

from cytomesh import PatchBatch, SpatialNCE, surface_views
from cytomesh.phantom.maps import draw_maps

# %%
# The weight of a pair is a kernel of its distance, and zero beyond the reach, by default three times sigma.
distances_mm = torch.linspace(0, 12, 241)
position = torch.stack([distances_mm, torch.zeros(241), torch.zeros(241)], 1)
patches = PatchBatch.of(241, torch.device("cpu"), position=position, section=torch.arange(241))
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for (kernel, style), colour in zip(
    (("gaussian", "-"), ("exponential", "--"), ("inverse", ":"), ("radius", "-.")),
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    strict=True,
):
    weights = SpatialNCE(sigma_mm=3.0, kernel=kernel).weights(patches[:1], patches)
    axes.plot(distances_mm, weights[0], style, color=colour, label=kernel)
axes.set(xlabel="distance in the cortex (mm)", ylabel="weight of the pair", title="sigma 3 mm, reach 9 mm")
axes.legend(title="kernel")
plt.show()

# %%
# Inputs are simulated, to keep this quick: for each vertex of a hemisphere the thickness of six layers, and two numbers
# that change from section to section only, as staining does, and much more than anything else. Sections are coronal
# and 4 mm apart.
torch.manual_seed(0)
random = np.random.default_rng(0)
brain = draw_maps("L", "freesurfer", n_areas=20)
middle = brain.midsurface
nodes = np.flatnonzero(brain.is_cortex)
place = middle.vertices[nodes]
section = np.floor(place[:, 1] / 4.0).astype(int) - int(np.floor(place[:, 1].min() / 4.0))
layers = np.log(np.column_stack([values[nodes] for values in brain.maps.values()]))
layers = (layers - layers.mean(0)) / layers.std(0)
stain = 3 * random.normal(size=(section.max() + 1, 2))[section] + 0.3 * random.normal(size=(len(nodes), 2))
inputs = torch.tensor(np.column_stack([layers, stain]), dtype=torch.float32)

# %%
# A batch is a set of seeds and, for each, three neighbours within 12 mm.
tree = cKDTree(place)
near = tree.query_ball_point(place, 12.0)


def batch(n_seeds: int) -> np.ndarray:
    """Draw the rows of a batch."""
    seeds = random.choice(len(nodes), n_seeds, replace=False)
    return np.concatenate([[seed, *random.choice(near[seed], 3)] for seed in seeds])


def train(criterion: SpatialNCE) -> tuple[np.ndarray, list[float]]:
    """Train a small encoder; return the features of all nodes, and the losses."""
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))
    head = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(16, 16))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    losses = []
    for _ in range(300):
        rows = batch(96)
        vectors = torch.nn.functional.normalize(head(encoder(inputs[rows])), dim=1)
        where = torch.tensor(place[rows], dtype=torch.float32)
        loss = criterion(vectors, position=where, section=torch.tensor(section[rows]), temperature=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return encoder(inputs).detach().numpy(), losses


every, losses_every = train(SpatialNCE(sigma_mm=5.0))
others, losses_others = train(SpatialNCE(sigma_mm=5.0, same_section_weight=0.0))
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for losses, style, colour, name in (
    (losses_every, "-", "#0072b2", "all pairs"),
    (losses_others, "--", "#d55e00", "pairs of other sections"),
):
    axes.plot(np.convolve(losses, np.ones(10) / 10, "valid"), style, color=colour, label=name)
axes.set(xlabel="step", ylabel="loss (nats, mean of 10 steps)", title="Training")
axes.legend()
plt.show()


# %%
# How much of the features' variance areas explain, and how much sections do.
def explained(values: np.ndarray, groups: np.ndarray) -> float:
    """Return the share of the variance that lies between groups."""
    values = values - values.mean(0)
    _, which = np.unique(groups, return_inverse=True)
    sums = np.zeros((which.max() + 1, values.shape[1]))
    np.add.at(sums, which, values)
    return float((sums**2 / np.bincount(which)[:, None]).sum() / (values**2).sum())


names = ("inputs", "all pairs", "pairs of\nother sections")
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for k, (groups, colour, label) in enumerate(
    ((brain.labels[nodes], "#0072b2", "areas"), (section, "#e69f00", "sections"))
):
    shares = [explained(values, groups) for values in (inputs.numpy(), every, others)]
    bars = axes.bar(np.arange(3) + 0.4 * (k - 0.5), shares, 0.36, color=colour, hatch=("", "//")[k], label=label)
    axes.bar_label(bars, fmt="%.2f", fontsize="small")
axes.set_xticks(range(3), names)
axes.set(ylabel="share of variance explained", ylim=(0, 1.05))
axes.legend(title="by")
plt.show()

# %%
# The first principal component of the features that were learnt from pairs of other sections.
centred = others - others.mean(0)
component = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
values = np.full(middle.n_vertices, np.nan)
values[nodes] = component / component.std()
surface_views(middle, values, "L", label="first component (SD)", title="Learnt features")
plt.show()
