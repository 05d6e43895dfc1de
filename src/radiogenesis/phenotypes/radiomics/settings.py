"""How intensities become grey levels, and what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from radiogenesis.errors import SettingError

Family = Literal["shape", "firstorder", "margin", "glcm", "glrlm", "glszm"]
FAMILIES: tuple[Family, ...] = ("shape", "firstorder", "margin", "glcm", "glrlm", "glszm")


@dataclass(frozen=True, kw_only=True)
class RadiomicsSettings:
    """Settings of the radiomic features."""

    bin_width_hu: float = 25.0
    """Width of a grey level in HU (IBSI fixed bin size; 25 HU is the default of PyRadiomics). Not used with `bins`."""
    bins: int | None = None
    """Number of grey levels between the lesion's lowest and highest HU (IBSI fixed bin number) instead of a width."""
    range_hu: tuple[float, float] | None = None
    """Pixels outside these HU, both included, are left out of intensity and texture (IBSI resegmentation), and the
    first grey level starts at the lower one, as IBSI advises for CT. Without a range, the first grey level is the
    lesion's lowest, on a multiple of the bin width, as in PyRadiomics."""
    directions: Literal["average", "merge"] = "average"
    """Co-occurrences and runs are counted in 4 directions: features averaged over the 4 matrices (IBSI BTW3, "2D
    averaged"), or of their sum (IBSI SUJT, "2D slice-merged")."""
    families: tuple[Family, ...] = FAMILIES
    """Families of features to measure."""

    def __post_init__(self) -> None:
        if not self.bin_width_hu > 0:
            raise SettingError(f"bin_width_hu is {self.bin_width_hu}", remedy="choose a width above 0 HU")
        if self.bins is not None and self.bins < 1:
            raise SettingError(f"bins is {self.bins}", remedy="choose at least 1 grey level")
        if self.range_hu is not None and not self.range_hu[0] < self.range_hu[1]:
            raise SettingError(f"range_hu is {self.range_hu}", remedy="give a lower HU, then a higher one")
        if self.directions not in ("average", "merge"):
            raise SettingError(f"directions is {self.directions!r}", remedy="choose average or merge")
        unknown = set(self.families) - set(FAMILIES)
        if unknown:
            raise SettingError(
                f"families has {', '.join(sorted(unknown))}", remedy=f"choose among {', '.join(FAMILIES)}"
            )
