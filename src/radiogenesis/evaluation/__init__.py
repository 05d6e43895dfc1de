"""Fidelity, control and retrieval, each beside its ceiling and its null."""
