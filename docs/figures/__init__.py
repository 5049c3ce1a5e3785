"""Figures of the manual."""
