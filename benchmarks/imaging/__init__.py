"""Benchmarks of what all stages share."""
