"""What a run is worth: fidelity, realism, control, diversity, memorisation, use; each beside what it is read by."""
