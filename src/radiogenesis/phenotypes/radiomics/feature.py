"""What a feature is: its family, its IBSI code, its unit and its meaning."""

from __future__ import annotations

from typing import NamedTuple


class Feature(NamedTuple):
    """One row of the table of features."""

    family: str
    ibsi: str | None
    """Code in the reference manual of the Image Biomarker Standardisation Initiative; none where it has none."""
    unit: str
    """HU, mm, mm2, 1/mm, HU/mm, HU2; empty where there is none."""
    meaning: str
    same_as: str | None = None
    """Name of the feature that it equals by definition: IBSI names both; a map should test one of them."""
