"""Settings of `radiogenesis readers make`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from radiogenesis.phenotypes.lesion import FEATURES

Property = Literal["size", "attenuation", "spiculation", "margin", "heterogeneity", "cavitation"]
Real = Literal["pasted", "original", "both"]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What readers are shown."""

    rated: int = 30
    """Images of each kind that are rated one by one: drawn, and each kind of real."""
    real: Real = "both"
    """What "real" is: pasted (real lesions laid over the same backgrounds as the drawings, by the same composition, so
    that only the lesion differs), original (slices as they were scanned), or both kinds."""
    pairs: int = 20
    """Pairs of a drawn and a real pasted lesion on one background: which is drawn?"""
    property_pairs: int = 5
    """Pairs for each property and pathway: which has it high? As many again from the run with shuffled genes."""
    properties: tuple[Property, ...] = FEATURES  # type: ignore[assignment]
    """Properties to ask for."""
    pathways: tuple[str, ...] = ()
    """Gene sets to ask for, by their names in --gmt."""
    deviations: float = 2.0
    """A pathway is moved up and down by this many of its standard deviations over the training patients."""
    controls: int = 6
    """Images whose lesion's pixels are shuffled, among those that are rated: whoever looks tells them."""
    network_steps: int = 200
    """Training steps of the small network that tries to tell drawn from real; 0 leaves it out."""
    seed: int = 0
    """Of backgrounds, noise, the choice of lesions and the network. What stands where also follows from the run's
    weights, so that nobody without the run can work it out."""
    title: str = "Lesions in CT: a reader study"
    """What the page is called."""
    real_patients: bool = False
    """The cohort is of real patients, and its images may be shown to the readers; the page says so."""
    anyway: bool = False
    """Make the page although the drawings may be copies of training lesions, or, of real patients, lesions are too
    small to ask; the page says so."""

    def __post_init__(self) -> None:
        for name in ("rated", "pairs", "property_pairs", "controls", "network_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must not be negative")
        if self.rated == 1 or self.pairs == 1:
            raise ValueError("rated and pairs must be 0, or at least 2")
        if not self.rated and self.controls:
            raise ValueError("controls are among the images that are rated: with rated 0 they must be 0 too")
        if not self.deviations > 0:
            raise ValueError(f"deviations is {self.deviations}, must be above 0")
