"""What the manual takes from the code: settings, commands, tables, kinds, benchmarks."""
