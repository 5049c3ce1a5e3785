"""A run in other programs' ways: FreeSurfer's subjects, Connectome Workbench's spec files and scenes."""
