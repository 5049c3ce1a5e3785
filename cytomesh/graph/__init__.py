"""Cortical graphs: image links, node measures, storage."""
