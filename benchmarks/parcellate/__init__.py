"""Parcellation: what it finds, how fast, and beside whom."""
