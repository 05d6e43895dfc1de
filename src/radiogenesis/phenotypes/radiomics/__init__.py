"""Radiomic features of 2-D lesions, thousands at a time, by the definitions of the IBSI.

Source: Zwanenburg et al., Radiology 295 (2020) 328, and the reference manual of the Image Biomarker Standardisation
Initiative (arXiv 1612.07003), whose codes stand in `FEATURES`.
"""

from radiogenesis.phenotypes.radiomics.extract import FEATURES, radiomic_features
from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.settings import FAMILIES, RadiomicsSettings

__all__ = ["FAMILIES", "FEATURES", "Feature", "RadiomicsSettings", "radiomic_features"]
