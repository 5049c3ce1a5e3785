"""Real cortex: BigBrain contours, section and node data (see the data's README; never part of the package)."""
