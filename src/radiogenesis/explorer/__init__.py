"""The explorer: one page on which a gene is moved and the lesion follows, with the evidence beside each slider."""
