"""Brains on one sphere: inflated surfaces, spheres, registration, and what it carries from brain to brain."""
