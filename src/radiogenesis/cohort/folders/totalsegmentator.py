"""What TotalSegmentator writes, beside the image: one mask for each structure.

    PATIENT/ct.nii.gz   PATIENT/segmentations/lung_nodules.nii.gz   PATIENT/segmentations/lung_upper_lobe_left.nii.gz

A structure is the tumor where its name says so (`labels.names_tumor`) or `--label` does. The five lobes of the lung are
the lungs, where all of them are there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from radiogenesis.cohort.folders.named import Layout, Named
from radiogenesis.cohort.volume_files import stem

FOLDER = "segmentations"
LOBE = re.compile(r"lung_(upper|middle|lower)_lobe_(left|right)")
LOBES = 5
_IMAGES = ("ct", "mri", "mr")


def _claim(files: Sequence[Path]) -> list[Named]:
    images = {path.parent: path for path in files if stem(path) in _IMAGES}
    masks = [path for path in files if path.parent.name == FOLDER and path.parent.parent in images]
    every = [path for path in files if stem(path) in _IMAGES]
    beside = Counter(path.parent for path in every)
    named = [
        Named(patient=path.parent.name, role="image", path=path, part=(stem(path) or "") * (beside[path.parent] > 1))
        for path in every
    ]
    lobes = Counter(path.parent for path in masks if LOBE.fullmatch(stem(path) or ""))
    for path in masks:
        patient, structure = path.parent.parent.name, stem(path) or ""
        is_lung = lobes[path.parent] == LOBES and LOBE.fullmatch(structure)
        named.append(Named(patient=patient, role="organ" if is_lung else "mask", path=path, part=structure))
    return [*named, *_beside(files, images)]


def _beside(files: Sequence[Path], images: dict[Path, Path]) -> list[Named]:
    """An outline of one's own beside the image: PATIENT/mask.nii.gz."""
    return [
        Named(patient=path.parent.name, role="mask", path=path)
        for path in files
        if stem(path) == "mask" and path.parent in images
    ]


TOTALSEGMENTATOR = Layout(
    "TotalSegmentator",
    "PATIENT/ct.nii.gz and PATIENT/segmentations/lung_nodules.nii.gz (or mask.nii.gz beside ct.nii.gz)",
    _claim,
)
