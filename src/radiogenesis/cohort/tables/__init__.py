"""Tables as people have them: text and Excel files, GEO, gene names, annotations, clinical data, radiomics; and whose
each row is. Expression itself is `cohort/expression.py`."""
