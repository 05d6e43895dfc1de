"""Reads what a hospital or an archive gives, and writes one cohort."""
