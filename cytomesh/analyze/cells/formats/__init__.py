"""The formats in which segmenters leave cells, one reader each."""
