"""What every stage shares: errors, whole files, tables, configuration, run directories, seeds, ranks and progress."""
