"""Cortical layers by a light decoder on a frozen encoder, in order from pial to white."""
