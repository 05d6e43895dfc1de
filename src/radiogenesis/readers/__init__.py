"""A reader study in a file: do readers tell drawn lesions from real ones, and do they see what the genes say?

`study` makes the page and its key, `answers` reads what readers saved, `analysis` says what it is worth, `plan` how many
readers and cases are needed, `simulated` are readers whose skill is known.
"""
