"""Predictions that say a property from itself under another name: the location from the location.

A clinical table often holds what the radiologist's annotation or the measured lesion holds, too. Predicting the one
from the other shows that two people wrote down the same thing, and leaves the headline.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from radiogenesis.mapping.conventional.features import LESION, RADIOMIC, SEMANTIC
from radiogenesis.mapping.prediction.prediction import GENE, GENES, METAGENE

_TOPICS = {
    "size": r"size|diameter|volume|area|axis|length|t[ -]?stage",
    "location": r"location|lobe|localisation|localization|laterality|central|peripheral|axial",
    "density": r"attenuation|mean intensity|density|solid|ground[ -]?glass|%? ?gg|ggo|hounsfield",
    "margin": r"margins?|spiculat\w*|lobulat\w*|contour|border",
    "cavity": r"cavit\w*|dark part",
    "calcification": r"calcif\w*",
    "emphysema": r"emphysema\w*",
    "fibrosis": r"fibro\w*",
}
_PATTERNS = {topic: re.compile(rf"(?<![a-z])(?:{words})(?![a-z])", re.IGNORECASE) for topic, words in _TOPICS.items()}


def topics(name: str) -> frozenset[str]:
    """What a property is about: "Tumor Location (choice=RUL)" is about the location."""
    plain = name.replace("_", " ")
    return frozenset(topic for topic, pattern in _PATTERNS.items() if pattern.search(plain))


def tautologies(table: pd.DataFrame, family: Mapping[str, str]) -> list[bool]:
    """For each row of a prediction table: whether its source holds the property that is asked for.

    Genes, and what is predicted of genes, never do.

    Args:
        table: target, family, source.
        family: feature -> where it comes from.
    """
    held = {source: _topics_of(source, family) for source in (LESION, SEMANTIC, RADIOMIC)}
    return [
        source != GENES and kind not in (GENE, METAGENE) and bool(topics(target) & held.get(source, frozenset()))
        for target, kind, source in zip(table["target"], table["family"], table["source"], strict=True)
    ]


def _topics_of(source: str, family: Mapping[str, str]) -> frozenset[str]:
    names = [name for name, one in family.items() if one == source]
    return frozenset().union(*map(topics, names)) if names else frozenset()
