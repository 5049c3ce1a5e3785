"""Contour files of other programs: one module a format, all giving the same features."""
