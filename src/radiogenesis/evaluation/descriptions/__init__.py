"""Lesions in numbers: what measures of realism, diversity and copies are computed from."""
