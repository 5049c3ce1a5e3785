"""What a GPU does with cytomesh, in one go: `python -m benchmarks.gpu`."""
