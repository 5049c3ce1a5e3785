"""`python -m benchmarks.<area>.<figure> [--quick] [--json FILE]`; all quick forms by `python -m benchmarks`."""
