"""NIfTI pairs: an image, of CT in HU, and a mask of its tumor.

Two layouts are understood, and may be mixed under one folder:

    PATIENT_image.nii.gz  PATIENT_mask.nii.gz       side by side
    PATIENT/image.nii.gz  PATIENT/mask.nii.gz       one folder per patient

`.nii` serves as well. An image without a mask is a scan without an outline. Axes are put into the order of DICOM (z to
the head, y to the back, x to the left of the patient) by flipping and exchanging them only: voxels are never
resampled, and an oblique affine stays as it is. Sheared grids are refused.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.hounsfield import as_int16, checked_hu
from radiogenesis.cohort.sampling.pieces import whole_planes
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.cohort.walk import files_under
from radiogenesis.errors import ScanError
from radiogenesis.output import refuse_existing, whole_file

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SUFFIXES = (".nii", ".nii.gz")
GZIP = b"\x1f\x8b"
WHOLE = 0.01  # how far a label may lie off a whole number
OVERSHOOT = 1.5  # below lie probabilities: splines overshoot the 1 of a mask that they resample


def find_nifti(folder: Path) -> Findings:
    """Find image and mask pairs under `folder`, by the names given above. Nothing is read.

    Raises:
        ScanError: there is no such folder.
    """
    if not folder.is_dir():
        raise ScanError("there is no such folder", path=folder)
    images: dict[str, list[Path]] = {}
    masks: dict[str, list[Path]] = {}
    files, passed_over = files_under(folder)
    skipped = [entry for entry in passed_over if _is_named_nifti(entry[0])]
    for path in files:
        named = _patient_and_role(path)
        if named is not None:
            (images if named[1] == "image" else masks).setdefault(named[0], []).append(path)
        elif _is_named_nifti(path):
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
    """Read one image, of CT in HU, and, where there is one, its mask; a voxel is inside from `settings.fraction` on.

    Raises:
        ScanError: a file is damaged, has no orientation or two that differ, is sheared or not 3-D; the image is not in
            HU; the mask has another grid, several labels, lies on some planes only, or is empty.
    """
    image_path = source.image_files[0]
    values, affine = _load(image_path, settings)
    hu, remarks = checked_hu(as_int16(values), image_path) if settings.normalize == "none" else (values, ())
    scan = Scan(patient=source.patient, hu=hu, affine=affine, remarks=remarks)
    for path in source.outline_files:
        weights, mask_affine = _load(path, settings)
        if weights.shape != hu.shape or not np.allclose(mask_affine, affine, atol=1e-2):
            raise ScanError(
                f"the mask's grid {weights.shape} at {_corner(mask_affine)} mm is not that of {image_path.name}, "
                f"{hu.shape} at {_corner(affine)} mm",
                path=path,
                remedy="resample the mask to the image",
            )
        mask, remark = whole_planes(_inside(weights, path, settings), scan.spacing_mm, path)
        scan = scan.with_mask("tumor", mask, tumor=True)
        scan = replace(scan, remarks=(*scan.remarks, *filter(None, [remark])))
    return scan


def _inside(weights: NDArray[np.float32], path: Path, settings: ReadSettings) -> NDArray[np.bool_]:
    """(Z, Y, X) bool of a mask with one label, as near to whole numbers as resampling leaves it, or probabilities."""
    nearest = np.rint(weights)
    if np.abs(weights - nearest).max() > WHOLE:
        if weights.max() < OVERSHOOT:
            return weights >= settings.fraction
        raise ScanError(
            f"the mask's values up to {weights.max():g} are neither labels nor probabilities",
            path=path,
            remedy="save it with 1 inside the tumor and 0 elsewhere",
        )
    labels = np.unique(nearest[nearest >= 1])
    if len(labels) > 1:
        raise ScanError(
            f"the mask holds several labels ({', '.join(f'{label:g}' for label in labels[:8])})",
            path=path,
            remedy="keep the tumor's label only",
        )
    return nearest >= 1


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


def _is_named_nifti(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _patient_and_role(path: Path) -> tuple[str, str] | None:
    ending = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    stem = None if ending is None else path.name[: -len(ending)]
    if stem in ("image", "mask"):
        return path.parent.name, stem
    for role in ("image", "mask"):
        if stem is not None and stem.endswith("_" + role) and len(stem) > len(role) + 1:
            return stem.removesuffix("_" + role), role
    return None


def _load(path: Path, settings: ReadSettings) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(Z, Y, X) values and the affine to LPS, axes in the order of DICOM. Of CT a single plane is no scan."""
    try:
        image = _opened(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (
        nib.filebasedimages.ImageFileError,
        nib.spatialimages.HeaderDataError,
        OSError,
        EOFError,
        ValueError,
        zlib.error,
    ) as error:
        raise ScanError(
            f"cannot be read as NIfTI: {' '.join(str(error).split())}", path=path, remedy="copy it again"
        ) from error
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3 or sorted(values.shape)[1] < 2 or (min(values.shape) < 2 and settings.modality == "CT"):
        raise ScanError(f"shape {values.shape} is not one volume", path=path)
    if not np.isfinite(values).all():
        raise ScanError("holds values that are not finite", path=path, remedy="replace them by -1024 (air), of MR by 0")
    header = image.header
    if not (header["qform_code"] or header["sform_code"]):
        raise ScanError("has no orientation (qform and sform codes are 0)", path=path, remedy="save it with its affine")
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        raise ScanError(f"is in {header.get_xyzt_units()[0]}, not mm", path=path)
    _refuse_two_places(image, path)
    to_lps = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt("LPS")
    )
    affine = LPS_FROM_RAS @ image.affine @ nib.orientations.inv_ornt_aff(to_lps, values.shape)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise ScanError("its grid is sheared", path=path, remedy="resample it to orthogonal axes")
    ordered = nib.orientations.apply_orientation(values, to_lps)  # (X, Y, Z)
    return np.ascontiguousarray(ordered.transpose(2, 1, 0)), affine[:, [2, 1, 0, 3]]


def _opened(path: Path) -> nib.Nifti1Image:
    """The image, also where the file's ending is not what it is: gzip named .nii, or plain named .nii.gz."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    if packed == path.name.endswith(".gz"):
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 is one too
            raise ValueError(f"it is {type(image).__name__}")
        return image
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        if kind.header_class.may_contain_header(content):
            return kind.from_bytes(content)
    raise ValueError("it does not begin as NIfTI")


def _refuse_two_places(image: nib.Nifti1Image, path: Path) -> None:
    """Raises ScanError where sform and qform, or the voxel size (pixdim), place the voxels differently."""
    sform, qform = image.get_sform(coded=True)[0], image.get_qform(coded=True)[0]
    if sform is None:
        return  # the qform is made of pixdim
    sizes, pixdim = nib.affines.voxel_sizes(sform), np.array(image.header.get_zooms()[:3], float)
    last = np.array(image.shape[:3]) - 1
    corners = np.array(list(product(*((0, end) for end in last))))
    moved = 0.0
    if qform is not None:
        moved = float(np.abs(np.subtract(*(nib.affines.apply_affine(form, corners) for form in (sform, qform)))).max())
    if np.allclose(sizes, pixdim, rtol=0.01) and moved <= max(pixdim) / 2:
        return
    raise ScanError(
        f"sform and qform contradict each other: voxels of {_by(sizes)} mm by the sform, of {_by(pixdim)} mm by qform "
        f"and pixdim, corners up to {moved:.1f} mm apart",
        path=path,
        remedy="find out which is right, and save it as both (nibabel: set_sform, set_qform)",
    )


def _by(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)


def _corner(affine: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in affine[:3, 3]) + ")"
