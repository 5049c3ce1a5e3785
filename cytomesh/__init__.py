"""Map the cerebral cortex from microscopy."""

__version__ = "0.1.0"
