"""Tables as people have them: expression, annotations, clinical data, radiomics; and whose each row is."""
