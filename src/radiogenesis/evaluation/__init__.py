"""What a run is worth: fidelity, realism, control, diversity, memorisation, use; each beside its ceiling and null."""
