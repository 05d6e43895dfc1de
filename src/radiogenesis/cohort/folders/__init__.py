"""How people lay out image and mask files: one file per layout, and `find`, which takes what each one recognizes."""
