"""What was drawn, measured: one file per measure, each a `Measure` (`base.py`); the real lesions that they are compared
with (`pasted.py`); and the retrieval of alignments."""
