"""What evaluations and maps are read in: pages, pictures, sentences."""
