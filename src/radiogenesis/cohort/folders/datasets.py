"""The folders that nnU-Net and the Medical Segmentation Decathlon share: imagesTr, labelsTr, and a dataset.json.

    nnU-Net      imagesTr/CASE_0000.nii.gz   labelsTr/CASE.nii.gz   one file for each channel
    Decathlon    imagesTr/CASE.nii.gz        labelsTr/CASE.nii.gz   channels within the file

Ts (test) and Val lie beside Tr. A case may be numbered with four digits too: what the labels are called decides.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from radiogenesis.cohort.folders.named import Layout, Named
from radiogenesis.cohort.labels import dataset_names
from radiogenesis.cohort.volume_files import stem

_FOLDER = re.compile(r"(images|labels)(tr|ts|val)", re.IGNORECASE)
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def _claim_nnunet(files: Sequence[Path]) -> list[Named]:
    return [file for dataset, own in _datasets(files) if _has_channels(own) for file in _named(dataset, own, True)]


def _claim_decathlon(files: Sequence[Path]) -> list[Named]:
    return [file for dataset, own in _datasets(files) if not _has_channels(own) for file in _named(dataset, own, False)]


def _datasets(files: Sequence[Path]) -> Iterable[tuple[Path, list[Path]]]:
    """Folders that hold images, each with the files of its images and labels."""
    datasets: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        if _FOLDER.fullmatch(path.parent.name):
            datasets[path.parent.parent].append(path)
    return [(dataset, own) for dataset, own in datasets.items() if any(map(_is_image, own))]


def _is_image(path: Path) -> bool:
    return path.parent.name.lower().startswith("images")


def _has_channels(files: Sequence[Path]) -> bool:
    """Whether the images' names end in a channel, as the labels' do not."""
    images = {stem(path) or "" for path in files if _is_image(path)}
    labels = {stem(path) or "" for path in files if not _is_image(path)}
    if not all(map(_CHANNEL.fullmatch, images)):
        return False
    cases = {case[1] for name in images if (case := _CHANNEL.fullmatch(name))}
    return bool(labels & cases) or not labels & images


def _named(dataset: Path, files: Sequence[Path], channels: bool) -> Iterable[Named]:
    labels = tuple(dataset_names(dataset, "labels").items())
    called = dataset_names(dataset, "channel_names") or dataset_names(dataset, "modality")
    for path in files:
        name = stem(path) or ""
        if not _is_image(path):
            yield Named(patient=name, role="mask", path=path, names=labels)
        elif channels and (case := _CHANNEL.fullmatch(name)):
            yield Named(patient=case[1], role="image", path=path, part=_channel(case[2], called))
        else:
            yield Named(patient=name, role="image", path=path, channels=tuple(called.items()))


def _channel(number: str, called: dict[str, tuple[int, ...]]) -> str:
    """0000, or 0000_CT where dataset.json names it."""
    return "_".join([number, *(name for name, (own, *_) in called.items() if own == int(number))])


NNUNET = Layout("nnU-Net", "imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz", _claim_nnunet)
DECATHLON = Layout(
    "Medical Segmentation Decathlon",
    "imagesTr/CASE.nii.gz, labelsTr/CASE.nii.gz and dataset.json",
    _claim_decathlon,
)
