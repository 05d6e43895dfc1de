"""`radiogenesis evaluate`: its folder, page, pictures and sentences."""
