"""Our own layout: PATIENT_image and PATIENT_mask side by side, or image and mask in a folder for each patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from radiogenesis.cohort.folders.named import Layout, Named, Role
from radiogenesis.cohort.volume_files import stem

_ROLES: tuple[Role, ...] = ("image", "mask")


def _claim(files: Sequence[Path]) -> list[Named]:
    return [named for path in files if (named := _named(path)) is not None]


def _named(path: Path) -> Named | None:
    name = stem(path) or ""
    for role in _ROLES:
        if name.casefold() == role:
            return Named(patient=path.parent.name, role=role, path=path)
        if name.casefold().endswith("_" + role) and len(name) > len(role) + 1:
            return Named(patient=name[: -len(role) - 1], role=role, path=path)
    return None


PAIRS = Layout(
    "pairs",
    "PATIENT_image.nii.gz and PATIENT_mask.nii.gz, or PATIENT/image.nii.gz and PATIENT/mask.nii.gz",
    _claim,
)
