"""Cohorts whose gene-image map is known, because we planted it."""
