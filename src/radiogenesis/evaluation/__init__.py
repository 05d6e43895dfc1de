"""What a run is worth: fidelity, realism, control, diversity, memorization, usefulness, each beside its baseline."""
