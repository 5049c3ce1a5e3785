"""Surfaces from contours: accuracy, topology, misalignment, time and memory."""
