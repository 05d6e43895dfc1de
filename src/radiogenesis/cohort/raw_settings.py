"""What a folder of scans says about itself: `cohort.yaml`, the settings of `cohort build` that `cohort fetch` wrote.

    scans: images                   where the scans are, in the folder
    expression: expression.csv.gz   annotations, clinical, id_map, organ_mask too: paths in the folder
    log: true                       any other option of `cohort build`

Options that are given win.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from radiogenesis.errors import InputError
from radiogenesis.given_files import read_json, read_yaml

RAW_SETTINGS = "cohort.yaml"
FETCHED = "fetch.json"
_PATHS = ("expression", "annotations", "clinical", "id_map", "organ_mask")


def scans_in(raw: Path) -> Path:
    """Where the scans of a folder are: in itself, unless its settings say otherwise."""
    _refuse_incomplete(raw)
    return raw / str(_read(raw).get("scans", "."))


def raw_settings(raw: str | Path) -> dict[str, Any]:
    """The options of `cohort build` that a folder brings, with its paths in full; none where it says nothing.

    Raises:
        InputError: no YAML, a path that leads nowhere, or a public cohort that is not complete.
    """
    raw = Path(raw)
    _refuse_incomplete(raw)
    settings = _read(raw)
    settings.pop("scans", None)
    for name in _PATHS:
        if name in settings:
            settings[name] = str(raw / str(settings[name]))
            if not Path(settings[name]).exists():
                raise InputError(
                    f"{name}: there is no {settings[name]}", path=raw / RAW_SETTINGS, remedy="mend the path"
                )
    return settings


def told(raw: str | Path, settings: dict[str, Any]) -> str:
    """What is said of settings that a folder brings."""
    values = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{Path(raw) / RAW_SETTINGS}: {values}"


def _read(raw: Path) -> dict[str, Any]:
    path = raw / RAW_SETTINGS
    if not os.path.lexists(path):  # what is there and cannot be read is no want of settings
        return {}
    try:
        settings = read_yaml(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path, remedy="mend or delete it") from error
    except ValueError as error:
        raise InputError(f"is not YAML ({' '.join(str(error).split())})", path=path, remedy="mend the file") from error
    if not isinstance(settings, dict):
        raise InputError("has no settings in it", path=path, remedy="write `name: value`, one in a line")
    _refuse_elsewhere(settings, path)
    return {str(name): value for name, value in settings.items()}


def _refuse_elsewhere(settings: dict[Any, Any], path: Path) -> None:
    """Raises InputError for what only a command may say, and for scans that do not lie in the folder."""
    if own := sorted({"raw", "cohort", "manifest", "config"} & set(map(str, settings))):
        raise InputError(f"{own[0]} may not be said here", path=path, remedy="give it on the command line")
    scans = Path(str(settings.get("scans", ".")))
    if scans.is_absolute() or ".." in scans.parts:
        raise InputError(f"scans: {scans} does not lie in the folder", path=path, remedy="give a folder inside it")


def _refuse_incomplete(raw: Path) -> None:
    """Raises InputError where a public cohort was fetched in part only: a series that lacks slices may look whole."""
    try:
        record = read_json(raw / FETCHED)
        name, complete = record["cohort"], record["complete"]
    except (FileNotFoundError, NotADirectoryError, KeyError, TypeError):
        return  # none, or another program's
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(
            f"cannot be read ({reason}): whether the cohort was fetched completely is unknown", path=raw / FETCHED,
            remedy="give the command that fetched it again, or delete the file if it is not of `cohort fetch`",
        ) from error  # fmt: skip
    if not complete:
        raise InputError(
            f"{name} is not fetched completely",
            path=raw,
            remedy=f"`radiogenesis cohort fetch {name} {raw}` goes on; {raw / 'images'} is built as it is",
        )
