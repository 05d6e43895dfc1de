"""One file per published method: its losses in the paper's symbols, its training step."""
