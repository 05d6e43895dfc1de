"""What is measured of genes: codes, prediction, and which genes drive a drawing."""
