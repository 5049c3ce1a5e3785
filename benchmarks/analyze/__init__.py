"""What features are worth beyond the names of areas."""
