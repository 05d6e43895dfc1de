"""Keywords of the API's functions -> the settings objects of the command line, with the same checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from radiogenesis.errors import SettingError


def settings_of(kinds: Sequence[type[Any]], given: Mapping[str, Any]) -> list[Any]:
    """One settings object of each kind, checked as on the command line.

    Args:
        kinds: settings dataclasses, no two with a field of one name.
        given: keyword -> value.

    Raises:
        SettingError: a keyword that none of them knows, or a value of another kind or out of range.

    Examples:
        >>> settings_of([DrawSettings], {"per_patient": 2})[0].per_patient
        2
    """
    require_known(kinds, given)
    names = {kind: [field.name for field in dataclasses.fields(kind)] for kind in kinds}
    parser = ArgumentParser(exit_on_error=False)
    for kind in kinds:
        parser.add_class_arguments(kind, None, fail_untyped=True)
    try:
        values = vars(parser.parse_object({name: _plain(value) for name, value in given.items()}))
        return [kind(**{name: values[name] for name in names[kind]}) for kind in kinds]
    except (ArgumentError, ValueError) as error:
        raise SettingError(" ".join(str(error).split())) from error


def require_known(kinds: Sequence[type[Any]], given: Iterable[str]) -> None:
    """Raises SettingError, with the nearest names, for a keyword that is a field of none of the settings dataclasses.

    Examples:
        >>> require_known([DrawSettings], ["per_patient"])
    """
    known = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    for name in given:
        if name not in known:
            alike = get_close_matches(name, known, 3)
            remedy = f"did you mean {' or '.join(alike)}?" if alike else f"choose from: {', '.join(sorted(known))}"
            raise SettingError(f"there is no setting {name!r}", remedy=remedy)


def _plain(value: Any) -> Any:
    """A value as a settings file would hold it: paths as text, numbers and arrays of NumPy as Python's own."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value
