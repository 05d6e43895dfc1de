"""A reader study in a file: do readers tell drawn lesions from real ones, and do they see what the genes say?

`study` chooses what is shown, `page` writes it and its key, `answers` reads what readers saved, `analysis` and
`report` say what it is worth, `plan` how many readers and cases are needed. The skill of
the readers in `simulated` is known.
"""
