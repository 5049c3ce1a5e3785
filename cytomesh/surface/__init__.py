"""Cortical surfaces: reconstruction from contours, meshes, quality, GIFTI."""
