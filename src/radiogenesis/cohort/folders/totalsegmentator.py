"""What TotalSegmentator writes, beside the image: one mask for each structure.

    PATIENT/ct.nii.gz   PATIENT/segmentations/lung_nodules.nii.gz   PATIENT/segmentations/lung_upper_lobe_left.nii.gz

A structure is the tumor where its name says so (`labels.names_tumor`) or `--label` does. The five lobes of the lung are
the lungs, where all of them are there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from radiogenesis.cohort.folders.named import Layout, Named
from radiogenesis.cohort.volume_files import stem

FOLDER = "segmentations"
LOBE = re.compile(r"lung_(upper|middle|lower)_lobe_(left|right)")
LOBES = 5
_IMAGES = ("ct", "mri", "mr")


def _claim(files: Sequence[Path]) -> list[Named]:
    images = [path for path in files if stem(path) in _IMAGES]
    folders = Counter(path.parent for path in images)
    masks = [path for path in files if path.parent.name == FOLDER and path.parent.parent in folders]
    named = [
        Named(
            patient=path.parent.name,
            role="image",
            path=path,
            part=(stem(path) or "") if folders[path.parent] > 1 else "",
        )
        for path in images
    ]
    lobes = Counter(path.parent for path in masks if LOBE.fullmatch(stem(path) or ""))
    for path in masks:
        patient, structure = path.parent.parent.name, stem(path) or ""
        is_lung = lobes[path.parent] == LOBES and LOBE.fullmatch(structure)
        named.append(Named(patient=patient, role="organ" if is_lung else "mask", path=path, part=structure))
    return [*named, *_beside(files, folders)]


def _beside(files: Sequence[Path], folders: Collection[Path]) -> list[Named]:
    """An outline of one's own beside the image: PATIENT/mask.nii.gz."""
    return [
        Named(patient=path.parent.name, role="mask", path=path)
        for path in files
        if stem(path) == "mask" and path.parent in folders
    ]


TOTALSEGMENTATOR = Layout(
    "TotalSegmentator",
    "PATIENT/ct.nii.gz and PATIENT/segmentations/lung_nodules.nii.gz (or mask.nii.gz beside ct.nii.gz)",
    _claim,
)
