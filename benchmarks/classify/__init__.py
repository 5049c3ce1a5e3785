"""Benchmarks of area classification on cortical graphs."""
