"""Keywords of the API's functions -> the settings objects of the command line, with the same checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from radiogenesis.errors import SettingError


def settings_of(kinds: Sequence[type[Any]], given: Mapping[str, Any]) -> list[Any]:
    """One settings object of each kind; a keyword that several kinds know is given to all of them, as on the command
    line.

    Args:
        kinds: settings dataclasses.
        given: keyword -> value; lists are taken for tuples.

    Raises:
        SettingError: a keyword that none of them knows, or a value that one of them refuses.

    Examples:
        >>> settings_of([DrawSettings], {"per_patient": 2})[0].per_patient
        2
    """
    names = {kind: [field.name for field in dataclasses.fields(kind)] for kind in kinds}
    known = [name for some in names.values() for name in some]
    for name in given:
        if name not in known:
            alike = get_close_matches(name, known, 3)
            remedy = f"did you mean {' or '.join(alike)}?" if alike else f"choose from: {', '.join(sorted(set(known)))}"
            raise SettingError(f"there is no setting {name!r}", remedy=remedy)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    try:
        return [kind(**{name: values[name] for name in names[kind] if name in values}) for kind in kinds]
    except ValueError as error:
        raise SettingError(str(error)) from error
