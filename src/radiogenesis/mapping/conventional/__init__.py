"""The conventional three steps: metagenes, features, association."""
