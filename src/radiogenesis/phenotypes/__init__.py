"""What a lesion looks like, in numbers."""
