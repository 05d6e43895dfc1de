"""DICOM: from a folder of files to one scan with its outlines per patient."""
