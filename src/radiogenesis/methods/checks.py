"""Checks of settings: one line that names the setting, what it must be and what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def require(settings: Any, names: Iterable[str], what: str, holds: Callable[[Any], bool]) -> None:
    """Raise ValueError for the first of the named settings that does not hold.

    Args:
        settings: a settings dataclass.
        names: its fields to check.
        what: what they must be, in words.
        holds: whether a value is that.
    """
    for name in names:
        value = getattr(settings, name)
        if not holds(value):
            raise ValueError(f"{name} must be {what}, not {value}")
