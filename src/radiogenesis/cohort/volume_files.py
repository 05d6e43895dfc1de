"""Files that hold a volume each: NIfTI, NRRD, MetaImage. Told by their endings, as every tool that reads them does."""

from __future__ import annotations

from pathlib import Path

NIFTI = (".nii.gz", ".nii")
ITK = (".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
ENDINGS = (*NIFTI, *ITK)
DATA = (".raw", ".zraw", ".raw.gz", ".img")
"""Endings of the files that a header of its own (.mhd, .nhdr) keeps its voxels in."""


def stem(path: Path) -> str | None:
    """The name without its ending; None where it is no volume."""
    ending = next((known for known in ENDINGS if path.name.lower().endswith(known)), None)
    return None if ending is None else path.name[: -len(ending)]


def is_volume(path: Path) -> bool:
    return stem(path) is not None


def data_of(path: Path) -> Path | None:
    """The file beside a header with the voxels in it, where there is one."""
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return None
    return next((data for data in (path.with_suffix(ending) for ending in DATA) if data.is_file()), None)


def is_volume_or_data(path: Path) -> bool:
    """Whether a file is a volume, or the voxels of a header that lies beside it."""
    headers = (path.with_suffix(ending) for ending in (".mhd", ".nhdr"))
    return is_volume(path) or (path.name.lower().endswith(DATA) and any(header.is_file() for header in headers))
