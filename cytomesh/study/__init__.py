"""What one manifest describes: brains, sections, contours, annotations, transforms and the atlas."""
