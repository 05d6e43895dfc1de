"""What is imaged, and on which scale: the table of organs, and how intensities become the numbers that a cohort stores.

A cohort stores whole numbers, and everything draws, compares and shows those from -1000 to 500 (`window.py`). Of CT of
the lung they are HU. Of all else the window of its own intensities (HU of the liver, z-scores of an MR) is mapped onto
-1000 to 500 in a straight line: networks, filters and thresholds see one scale whatever is imaged. What is written for
people is mapped back (`Imaging.level`, `Imaging.spread`), and says its own unit.

What holds for lungs in HU alone is switched off elsewhere, and asking for it is refused (`Imaging.of_lungs`): drawing
lesions as filled air, keeping them in the lung, whole slices and the search for tumors, planting into real lungs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from numpy.typing import NDArray

from radiogenesis.window import WINDOW_HU

OrganName = Literal["lung", "brain", "breast", "liver", "kidney", "body"]
Normalize = Literal["none", "zscore"]
Number = TypeVar("Number", float, NDArray[Any])


@dataclass(frozen=True)
class Organ:
    """What is cut out of scans of an organ where the settings do not say otherwise.

    Attributes:
        field_of_view_mm: side of an image.
        boundary_mm: least and greatest distance of a background's center from the boundary of organ minus lesion.
        window_hu: of CT.
        around_mm: how far beyond its outline a lesion changes what is around it, and may draw it.
    """

    field_of_view_mm: float
    boundary_mm: tuple[float, float]
    window_hu: tuple[float, float]
    around_mm: float


ORGANS: dict[OrganName, Organ] = {
    "lung": Organ(60.0, (5.0, 25.0), WINDOW_HU, 3.0),  # Xu et al. 2020, sections 2 and 3
    "brain": Organ(80.0, (12.0, 60.0), (-20.0, 120.0), 18.0),
    "breast": Organ(60.0, (8.0, 60.0), (-200.0, 300.0), 6.0),
    "liver": Organ(80.0, (12.0, 60.0), (-160.0, 240.0), 6.0),
    "kidney": Organ(80.0, (5.0, 40.0), (-160.0, 300.0), 6.0),
    "body": Organ(80.0, (12.0, 80.0), WINDOW_HU, 6.0),
}
"""Side and distances leave room for lesions of the organ, and for the swelling around a tumor of the brain (ours);
windows of CT are those its tissue is read in."""

WINDOW_Z = (-3.0, 5.0)
"""Of z-scores, whatever the organ: tissue lies within 3 of its mean, what takes up contrast or water above."""

RENAMED = {"attenuation": "mean intensity", "cavitation": "dark part"}
"""The named properties (`phenotypes.lesion`) that have another name where numbers are no HU."""


@dataclass(frozen=True, kw_only=True)
class Imaging:
    """What a cohort shows.

    Attributes:
        organ: a name of ORGANS.
        normalize: "none" for HU; "zscore" for intensities without a unit, scan by scan less their mean and over their
            standard deviation inside the organ, lesions left out.
        window: what is mapped onto the stored -1000 to 500, in HU or z-scores.
    """

    organ: OrganName = "lung"
    normalize: Normalize = "none"
    window: tuple[float, float] = WINDOW_HU

    def __post_init__(self) -> None:
        if self.organ not in ORGANS:
            raise ValueError(f"organ {self.organ!r}: one of {', '.join(ORGANS)}")
        if self.normalize not in get_args(Normalize):
            raise ValueError(f"normalize {self.normalize!r}: none (CT in HU) or zscore (MR)")
        low, high = self.window
        if not low < high:
            raise ValueError(f"window {low:g} {high:g}: the lower end first")

    @classmethod
    def of(cls, organ: OrganName, normalize: Normalize, window: tuple[float, float] | None) -> Imaging:
        """The organ's own window where none is given. Raises ValueError for an organ or a window that there is not."""
        made = cls(organ=organ, normalize=normalize)
        own = ORGANS[organ].window_hu if made.in_hu else WINDOW_Z
        return cls(organ=organ, normalize=normalize, window=own if window is None else window)

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Imaging:
        """From JSON."""
        return cls(**{**written, "window": tuple(written["window"])})

    @property
    def in_hu(self) -> bool:
        """Whether intensities are HU."""
        return self.normalize == "none"

    @property
    def as_it_is(self) -> bool:
        """Whether what is stored is HU itself."""
        return self.in_hu and self.window == WINDOW_HU

    @property
    def of_lungs(self) -> bool:
        """Whether lungs are stored in HU: what is made for aerated tissue holds."""
        return self.organ == "lung" and self.as_it_is

    @property
    def may_be_darker(self) -> bool:
        """Whether lesions may be darker than what is around them; in the lung, which is air, none is."""
        return not self.of_lungs

    @property
    def unit(self) -> str:
        """HU, or z for z-scores."""
        return "HU" if self.in_hu else "z"

    @property
    def per_number(self) -> float:
        """So many HU or standard deviations lie between two stored numbers."""
        return (self.window[1] - self.window[0]) / (WINDOW_HU[1] - WINDOW_HU[0])

    def stored(self, level: Number) -> Number:
        """Intensity -> the number that is stored for it, not yet rounded."""
        return (level - self.window[0]) / self.per_number + WINDOW_HU[0]

    def level(self, stored: Number) -> Number:
        """Stored number -> intensity in `unit`."""
        return stored if self.as_it_is else (stored - WINDOW_HU[0]) * self.per_number + self.window[0]

    def spread(self, stored: Number) -> Number:
        """Difference or standard deviation of stored numbers -> in `unit`."""
        return stored if self.as_it_is else stored * self.per_number

    def name(self, feature: str) -> str:
        """What a named property of a lesion is called: nothing but HU attenuates, and only air is a cavity."""
        return feature if self.as_it_is or (self.in_hu and feature == "attenuation") else RENAMED.get(feature, feature)

    def unit_of(self, unit: str) -> str:
        """A feature's unit, with that of the intensities for HU."""
        return unit if self.in_hu else unit.replace("HU", self.unit)

    @property
    def scans(self) -> str:
        """What pages call the images."""
        return "CT" if self.in_hu else "image"

    @property
    def text(self) -> str:
        """Organ and window: "brain, window z = −3 to 5"."""
        return f"{self.organ}, {self.window_text}"

    @property
    def window_text(self) -> str:
        """The window as captions say it: "window −1000 to 500 HU"."""
        low, high = (f"{end:g}".replace("-", "−") for end in self.window)
        return f"window {low} to {high} HU" if self.in_hu else f"window z = {low} to {high}"


LUNG_CT = Imaging()
