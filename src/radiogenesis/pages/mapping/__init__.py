"""`radiogenesis map`: its folder, page, pictures and sentences."""
