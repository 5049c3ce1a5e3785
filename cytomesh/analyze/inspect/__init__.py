"""What features look like: a map of them, areas beside areas, brains beside brains, and where an encoder looks."""
