"""One file per measure of what was drawn."""
