"""Areas for nodes: inputs, splits, models from a linear probe to graph attention, metrics and predictions."""
