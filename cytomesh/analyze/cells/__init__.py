"""Cells of sections, put into the cortex: how many, how large and how far apart, by node, layer and depth."""
