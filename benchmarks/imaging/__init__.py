"""Pixels of sections."""
