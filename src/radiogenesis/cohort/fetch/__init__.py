"""Public cohorts in one command: images from Imaging Data Commons, expression from GEO or GDC, tables beside them."""
