"""Fits any method to any cohort: run folders, checkpoints, resume."""
