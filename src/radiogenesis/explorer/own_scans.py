"""Backgrounds from a scan of one's own, cut as `cohort build` would cut them, of which nothing is kept on disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.build import find_scans
from radiogenesis.cohort.patient_parts import NOT_OUTLINED, cut_source
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.volume_files import ENDINGS
from radiogenesis.errors import ScanError

SHOWN = 6
"""Backgrounds of one scan."""
MASKS = ("mask", "seg", "label", "outline")
"""A volume with one of these in its name is the outline of the other."""

Settings = TypeVar("Settings", ReadSettings, SamplingSettings)


@dataclass(frozen=True, eq=False)
class OwnBackgrounds:
    """Slices of a scan, (n, P, P) int16, and what must be said of them."""

    image: NDArray[np.int16]
    said: str


def cut_backgrounds(files: Sequence[tuple[str, BinaryIO]], cohort: Cohort) -> OwnBackgrounds:
    """Backgrounds for the drawings of a run on `cohort`, from the files of one scan.

    The files lie in a folder that nobody else can read while they are cut, and are removed with it.

    Args:
        files: name and content of each: DICOM of one series with or without its outline, or a volume, with or without
            its mask.
        cohort: the run's, whose settings of reading and sampling hold here too.

    Raises:
        ScanError: no scan is in the files, or several are; or no background can be cut from it.
    """
    settings = cohort.settings
    read = replace(_settings(ReadSettings, settings.get("reading")), normalize=cohort.imaging.normalize)
    sampling = _settings(SamplingSettings, settings.get("sampling"))
    sampling = replace(sampling, background_centers=max(1, sampling.background_centers), whole_pixels=0)
    with TemporaryDirectory(prefix="radiogenesis-") as folder:
        root = Path(folder).resolve()
        try:
            for name, (_, content) in zip(_names([name for name, _ in files]), files, strict=True):
                with (root / name).open("wb") as written:
                    shutil.copyfileobj(content, written)
            source = _only(find_scans(root, read))
            data, notes, _, _ = cut_source(source, read, sampling)
        except ScanError as error:
            raise ScanError(str(error).replace(f"{root}/", "").replace(str(root), "the files")) from None
    if data.backgrounds is None or not len(data.backgrounds.image):
        raise ScanError("; ".join(notes).replace(f"{root}/", "") or "no background can be cut from it")
    image = data.backgrounds.image
    rows = np.unique(np.linspace(0, len(image) - 1, SHOWN).round().astype(int))
    said = f"{len(rows)} backgrounds were cut from it."
    if NOT_OUTLINED in notes:
        said += " Nothing is outlined in it: a tumor may be on them."
    return OwnBackgrounds(image[rows], said)


def _names(given: Sequence[str]) -> list[str]:
    """Names for the files that `find_scans` understands, which say nothing and lead nowhere: DICOM is told by content,
    volumes by their names. Raises ScanError for volumes of which it is not plain which is the image."""
    plain = [PurePosixPath(name.replace("\\", "/")).name.lower() for name in given]
    endings = [next((known for known in ENDINGS if name.endswith(known)), "") for name in plain]
    masks = [bool(ending) and any(word in name for word in MASKS) for name, ending in zip(plain, endings, strict=True)]
    volumes = sum(map(bool, endings))
    if volumes == 1:
        masks = [False] * len(plain)
    if volumes > 2 or (volumes == 2 and sum(masks) != 1):
        raise ScanError(
            f"there are {volumes} volumes among the files, and it is not plain which is the image",
            remedy="give one volume, or one and its outline, with 'mask' in the outline's name",
        )
    return [
        f"own_{'mask' if mask else 'image'}{ending}" if ending else f"{number:05d}"
        for number, (ending, mask) in enumerate(zip(endings, masks, strict=True))
    ]


def _only(findings: Findings) -> Source:
    """The one scan. Raises ScanError where there is none, with what was found instead, or where there are several."""
    if len(findings.sources) == 1:
        return findings.sources[0]
    if findings.sources:
        raise ScanError(f"the files are scans of {len(findings.sources)} patients", remedy="give those of one")
    reasons = [reason for _, reason in (*findings.refused, *findings.skipped)]
    raise ScanError("; ".join(["no scan that can be used is in the files", *dict.fromkeys(reasons[:2])]))


def _settings(kind: type[Settings], recorded: Any) -> Settings:
    """Settings as a cohort recorded them; those that this version does not know are left out."""
    known = {field.name for field in fields(kind)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (recorded or {}).items() if name in known
    }  # fmt: skip
    return kind(**values)
