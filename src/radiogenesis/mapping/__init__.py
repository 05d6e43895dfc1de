"""Which genes go with which property of the lesion, and how far to believe it."""
