"""Attention edge by edge: the slow reference of the row kernels."""

import torch

SLOPE = 0.2


def attend_by_edges(
    x,
    to_source,
    to_target,
    edge_index,
    kept=None,
    to_edge=None,
):
    """The formula, edge by edge."""
    source, target = edge_index
    scores = to_source[source] + to_target[target]
    if to_edge is not None:
        scores = scores + to_edge
    return mean_by_edges(torch.nn.functional.leaky_relu(scores, SLOPE), x, edge_index, kept)


def attend_v2_by_edges(source, target, attention, edge_index, kept):
    """The formula, edge by edge."""
    tail, head = edge_index
    scores = (torch.nn.functional.leaky_relu(source[tail] + target[head], SLOPE) * attention).sum(-1)
    return mean_by_edges(scores, source, edge_index, kept)


def mean_by_edges(scores, x, edge_index, kept):
    """Mean of the neighbours' vectors x (n, h, c), weighed by the softmax of the edges' scores (e, h)."""
    source, target = edge_index
    lowest = scores.new_full(x.shape[:2], -torch.inf)
    highest = lowest.scatter_reduce(0, target[:, None].expand_as(scores), scores.detach(), "amax")
    weights = torch.exp(scores - highest[target])
    weights = weights / torch.zeros_like(lowest).index_add(0, target, weights)[target]
    if kept is not None:
        weights = weights * kept
    return torch.zeros_like(x).index_add(0, target, weights[..., None] * x[source])
