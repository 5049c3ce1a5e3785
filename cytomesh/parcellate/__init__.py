"""Data-driven parcels of the cortex: affinities, clusterings, gradients, and scores with their nulls."""
