"""The map by synthesis: genes are moved, and what changes in drawings is measured."""
