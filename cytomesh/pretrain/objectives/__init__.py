"""Objectives: each says how much two patches should be alike; one file per objective."""
