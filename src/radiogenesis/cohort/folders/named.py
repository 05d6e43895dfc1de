"""What the name of a file says of it, and what a layout is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["image", "mask", "organ"]


@dataclass(frozen=True, kw_only=True)
class Named:
    """A file that a layout recognizes.

    Attributes:
        patient: whose it is.
        role: what it holds.
        part: which channel of an image, or which structure of a mask; "" where the name says no more.
        names: names and numbers of the labels in a mask.
        channels: names and numbers of the channels of an image.
    """

    patient: str
    role: Role
    path: Path
    part: str = ""
    names: tuple[tuple[str, tuple[int, ...]], ...] = ()
    channels: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Layout:
    """A way to lay out images and masks.

    Attributes:
        name: how it is known.
        expected: the names of its files, for people.
        claim: takes volume files, returns those of this layout; never part of a patient whose image it does not know.
    """

    name: str
    expected: str
    claim: Callable[[Sequence[Path]], list[Named]]
