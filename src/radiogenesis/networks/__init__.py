"""Torch modules only: shapes in, shapes out; no training, no files."""
