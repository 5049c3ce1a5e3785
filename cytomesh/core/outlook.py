"""What a stage would do to a product, said without doing it (`--dry-run`)."""

from __future__ import annotations

from cytomesh.core.provenance import Inputs, said
from cytomesh.core.run import Product


def outlook(product: Product, inputs: Inputs, *, resume: bool) -> str:
    """Return whether a product would be kept, gone on with, or made, and why again."""
    if resume and product.is_current(inputs):
        return "kept"
    begun = product.begun
    if resume and begun is not None and not begun.changes(inputs):
        return "gone on with: what was begun and not finished"
    if not product.is_finished:
        return "made"
    reasons = product.changes(inputs)
    return f"made again: {said(reasons) if reasons else '--no-resume'}"
