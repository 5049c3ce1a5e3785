"""The built-in study: simulated sections of individual brains made from real cortical geometry, with the truth."""
