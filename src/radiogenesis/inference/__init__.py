"""What trained methods are used for: drawing lesions, finding tumors."""
