"""BIDS and its derivatives: sub-ID in every name, images by their suffix, masks with what they outline.

    sub-ID[/ses-S]/ct/sub-ID[_ses-S]_ct.nii.gz
    derivatives/ANY/sub-ID[/ses-S]/.../sub-ID[_ses-S][_space-X]_label-tumor_mask.nii.gz

The patient's id is what follows `sub-`. See the BIDS specification, "Imaging data derivatives".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from radiogenesis.cohort.folders.named import Layout, Named
from radiogenesis.cohort.volume_files import stem

_NAME = re.compile(r"sub-([A-Za-z0-9+]+)((?:_[a-z]+-[A-Za-z0-9+]+)*)_([A-Za-z0-9]+)")
_MASKS = frozenset({"mask", "dseg", "probseg", "roi"})
_IMAGES = frozenset(
    {"ct", "cect", "ldct", "hrct", "t1w", "t2w", "flair", "pdw", "t1", "t2", "pet", "dwi", "adc", "swi", "t1c", "t1ce"}
)
_OUTLINED = ("label", "desc")  # the entities that say what a mask is of


def _claim(files: Sequence[Path]) -> list[Named]:
    recognized = [named for path in files if (named := _named(path)) is not None]
    imaged = {named.patient for named in recognized if named.role == "image"}
    return [named for named in recognized if named.patient in imaged]


def _named(path: Path) -> Named | None:
    name = _NAME.fullmatch(stem(path) or "")
    if name is None or f"sub-{name[1]}" not in path.parts:
        return None
    patient, entities, suffix = name[1], name[2].strip("_"), name[3]
    if suffix.lower() in _IMAGES:
        return Named(patient=patient, role="image", path=path, part="_".join(filter(None, [entities, suffix])))
    if suffix.lower() not in _MASKS:
        return None
    pairs = dict(entity.split("-", 1) for entity in entities.split("_") if entity)
    outlined = "_".join(pairs[entity] for entity in _OUTLINED if entity in pairs)
    return Named(patient=patient, role="mask", path=path, part=outlined)


BIDS = Layout(
    "BIDS",
    "sub-ID/ct/sub-ID_ct.nii.gz and derivatives/ANY/sub-ID/ct/sub-ID_label-tumor_mask.nii.gz",
    _claim,
)
