"""NIfTI pairs: an image in HU and a mask of its tumour.

Two layouts are understood, and may be mixed under one folder:

    PATIENT_image.nii.gz  PATIENT_mask.nii.gz       side by side
    PATIENT/image.nii.gz  PATIENT/mask.nii.gz       one folder per patient

`.nii` serves as well. An image without a mask is a scan without an outline. Axes are put into the order of DICOM (z to
the head, y to the back, x to the left of the patient) by flipping and exchanging them only: voxels are never
resampled, and an oblique affine stays as it is. Sheared grids are refused.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.outlines import check_planes
from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.errors import ScanError
from radiogenesis.output import refuse_existing, whole_file

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SUFFIXES = (".nii", ".nii.gz")
HIGHEST_MINIMUM_HU = -500  # a chest CT holds air; an image without any is not in HU


def find_nifti(folder: Path) -> Findings:
    """Find image and mask pairs under `folder`, by the names given above. Nothing is read.

    Raises:
        ScanError: there is no such folder.
    """
    if not folder.is_dir():
        raise ScanError("there is no such folder", path=folder)
    images: dict[str, list[Path]] = {}
    masks: dict[str, list[Path]] = {}
    skipped: list[tuple[Path, str]] = []
    for path in sorted(Path(root) / name for root, _, names in os.walk(folder) for name in names):
        named = _patient_and_role(path)
        if named is not None:
            (images if named[1] == "image" else masks).setdefault(named[0], []).append(path)
        elif path.name.endswith(SUFFIXES):
            skipped.append((path, "named neither PATIENT_image, PATIENT_mask, PATIENT/image nor PATIENT/mask"))
    sources, refused = [], []
    for patient in sorted({*images, *masks}):
        image, mask = images.get(patient, []), masks.get(patient, [])
        if not image:
            refused.append((patient, f"{mask[0]}: a mask without an image"))
        elif len(image) > 1 or len(mask) > 1:
            twice = image if len(image) > 1 else mask
            refused.append((patient, f"{twice[0]} and {twice[1]} are of the same patient; keep one"))
        else:
            source = Source(patient=patient, kind="nifti", image_files=tuple(image), outline_files=tuple(mask))
            sources.append(source)
    modalities = Counter({"NIfTI image": sum(map(len, images.values())), "NIfTI mask": sum(map(len, masks.values()))})
    return Findings(sources=sources, refused=refused, skipped=skipped, modalities=+modalities)


def read_nifti(source: Source, settings: ReadSettings) -> Scan:
    """Read one image in HU and, where there is one, its mask; a voxel is inside from `settings.fraction` on.

    Raises:
        ScanError: a file is damaged, has no orientation, is sheared or not 3-D; the image is not in HU; the mask has
            another grid, several labels, or is empty.
    """
    image_path = source.image_files[0]
    values, affine = _load(image_path)
    if values.min() > HIGHEST_MINIMUM_HU:
        raise ScanError(
            f"values from {values.min():g} to {values.max():g} are not HU of a chest CT: there is no air",
            path=image_path,
            remedy="save the image in HU",
        )
    hu = np.rint(values).clip(AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
    scan = Scan(patient=source.patient, hu=hu, affine=affine)
    for path in source.outline_files:
        weights, mask_affine = _load(path)
        if weights.shape != hu.shape or not np.allclose(mask_affine, affine, atol=1e-2):
            raise ScanError(
                f"the mask's grid {weights.shape} at {_corner(mask_affine)} mm is not that of {image_path.name}, "
                f"{hu.shape} at {_corner(affine)} mm",
                path=path,
                remedy="resample the mask to the image",
            )
        labels = np.unique(weights[weights >= 1])
        if len(labels) > 1:
            raise ScanError(
                f"the mask holds several labels ({', '.join(f'{label:g}' for label in labels[:8])})",
                path=path,
                remedy="keep the tumour's label only",
            )
        mask = weights >= settings.fraction
        check_planes(mask, path)
        scan = scan.with_mask("tumour", mask, tumour=True)
    return scan


def write_nifti(path: Path, volume: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write a volume (Z, Y, X); masks become uint8.

    Args:
        path: ends in .nii or .nii.gz.
        affine: (4, 4) index (z, y, x, 1) -> LPS mm, as in `Scan`.

    Raises:
        ScanError: the file exists, or has another ending.
    """
    suffix = next((suffix for suffix in reversed(SUFFIXES) if path.name.endswith(suffix)), None)
    if suffix is None:
        raise ScanError("not a NIfTI name", path=path, remedy="end it in .nii or .nii.gz")
    refuse_existing(path)
    data = volume.astype(np.uint8) if volume.dtype == np.bool_ else volume
    image = nib.Nifti1Image(data.transpose(2, 1, 0), LPS_FROM_RAS @ affine[:, [2, 1, 0, 3]])
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code="scanner")
    image.set_sform(image.affine, code="scanner")
    with whole_file(path, suffix=suffix) as partial:
        nib.save(image, partial)


def _patient_and_role(path: Path) -> tuple[str, str] | None:
    stem = next((path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    if stem in ("image", "mask"):
        return path.parent.name, stem
    for role in ("image", "mask"):
        if stem is not None and stem.endswith("_" + role) and len(stem) > len(role) + 1:
            return stem.removesuffix("_" + role), role
    return None


def _load(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(Z, Y, X) values and the affine to LPS, axes in the order of DICOM."""
    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 is one too
            raise ValueError(f"it is {type(image).__name__}")
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (
        nib.filebasedimages.ImageFileError,
        nib.spatialimages.HeaderDataError,
        OSError,
        EOFError,
        ValueError,
    ) as error:
        raise ScanError(
            f"cannot be read as NIfTI: {' '.join(str(error).split())}", path=path, remedy="copy it again"
        ) from error
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3 or min(values.shape) < 2:
        raise ScanError(f"shape {values.shape} is not one volume", path=path)
    if not np.isfinite(values).all():
        raise ScanError("holds values that are not finite", path=path, remedy="replace them by -1024 (air)")
    header = image.header
    if not (header["qform_code"] or header["sform_code"]):
        raise ScanError("has no orientation (qform and sform codes are 0)", path=path, remedy="save it with its affine")
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        raise ScanError(f"is in {header.get_xyzt_units()[0]}, not mm", path=path)
    to_lps = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt("LPS")
    )
    affine = LPS_FROM_RAS @ image.affine @ nib.orientations.inv_ornt_aff(to_lps, values.shape)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise ScanError("its grid is sheared", path=path, remedy="resample it to orthogonal axes")
    ordered = nib.orientations.apply_orientation(values, to_lps)  # (X, Y, Z)
    return np.ascontiguousarray(ordered.transpose(2, 1, 0)), affine[:, [2, 1, 0, 3]]


def _corner(affine: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in affine[:3, 3]) + ")"
