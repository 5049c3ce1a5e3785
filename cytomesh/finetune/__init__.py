"""Encoder and graph network trained together: gradients reach the encoder through the graph."""
