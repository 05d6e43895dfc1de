"""Any volume file as an array in the order of DICOM, with its place in the patient: NIfTI here, others by SimpleITK.

Axes are put into the order of DICOM (z to the head, y to the back, x to the left of the patient) by flipping and
exchanging them only: voxels are never resampled, and an oblique affine stays as it is. Sheared grids are refused.
"""

from __future__ import annotations

import gzip
import zlib
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.itk_files import is_itk, load_itk
from radiogenesis.cohort.plausible import refuse_grid, refuse_size
from radiogenesis.errors import ScanError
from radiogenesis.given_files import refuse_special

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
GZIP = b"\x1f\x8b"
_LONGEST_HEADER = 540  # of NIfTI-2
_FURTHEST = 2**26  # bytes; what lies between header and voxels are remarks of tools


def refuse_single_plane(values: NDArray[np.float32], path: Path) -> None:
    """Raises ScanError where a scan has one plane: of CT that is none, of MR it may be all that is kept."""
    if min(values.shape) < 2:
        raise ScanError(f"shape {values.shape} is not one volume", path=path)


def load_volume(path: Path, channel: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(Z, Y, X) values and the affine index (z, y, x, 1) -> LPS mm, axes in the order of DICOM.

    Args:
        path: NIfTI, NRRD or MetaImage.
        channel: which one of a file with several.

    Raises:
        ScanError: damaged, no single volume, values that are not finite, no orientation or two that differ, sheared.
    """
    values, ras = _from_itk(path) if is_itk(path) else _from_nifti(path)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim == 4 and channel is not None and channel < values.shape[3]:
        values = values[..., channel]
    if values.ndim == 4:
        problem = (
            f"has no channel {channel}, but" if channel is not None else f"shape {values.shape} is not one volume:"
        )
        last = values.shape[3] - 1
        raise ScanError(
            f"{problem} {last + 1} channels", path=path, remedy=f"choose with --channel, 0 to {last}, or keep one"
        )
    if values.ndim != 3 or sorted(values.shape)[1] < 2:
        raise ScanError(f"shape {values.shape} is not one volume", path=path)
    if not np.isfinite(values).all():
        raise ScanError("holds values that are not finite", path=path, remedy="replace them by -1024 (air), of MR by 0")
    if not np.isfinite(ras).all():
        raise ScanError("its affine holds values that are not finite", path=path, remedy="save it with its affine")
    refuse_grid(values.shape, nib.affines.voxel_sizes(ras), path)
    to_lps = nib.orientations.ornt_transform(nib.orientations.io_orientation(ras), nib.orientations.axcodes2ornt("LPS"))
    affine = LPS_FROM_RAS @ ras @ nib.orientations.inv_ornt_aff(to_lps, values.shape)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise ScanError("its grid is sheared", path=path, remedy="resample it to orthogonal axes")
    ordered = nib.orientations.apply_orientation(values, to_lps)  # (X, Y, Z)
    return np.ascontiguousarray(ordered.transpose(2, 1, 0)), affine[:, [2, 1, 0, 3]]


def _from_itk(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Values (I, J, K[, C]) and the affine to RAS."""
    values, lps = load_itk(path)
    return values, LPS_FROM_RAS @ lps


def _from_nifti(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Values (I, J, K, ...) and the affine to RAS."""
    try:
        refuse_special(path, ScanError)
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
    header = image.header
    if not (header["qform_code"] or header["sform_code"]):
        raise ScanError("has no orientation (qform and sform codes are 0)", path=path, remedy="save it with its affine")
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        raise ScanError(f"is in {header.get_xyzt_units()[0]}, not mm", path=path)
    _refuse_two_places(image, path)
    return values, np.asarray(image.affine, np.float64)


def _opened(path: Path) -> nib.Nifti1Image:
    """The image, also where the file's ending is not what it is: gzip named .nii, or plain named .nii.gz."""
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    with gzip.open(path) if packed else path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    kind = next(
        (kind for kind in (nib.Nifti1Image, nib.Nifti2Image) if kind.header_class.may_contain_header(start)), None
    )
    needed = 0 if kind is None else _refuse_promises(kind.header_class, start, path)
    if packed == path.name.endswith(".gz"):
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 is one too
            raise ValueError(f"it is {type(image).__name__}")
        return image
    if kind is None:
        raise ValueError("it does not begin as NIfTI")
    with gzip.open(path) if packed else path.open("rb") as file:
        return kind.from_bytes(file.read(needed))


def _refuse_promises(kind: type[nib.Nifti1Header], start: bytes, path: Path) -> int:
    """Bytes of header and voxels. Raises ScanError where the header promises more than memory should hold, or voxels
    inside itself."""
    header = kind(start[: kind.template_dtype.itemsize], check=False)
    refuse_size(header.get_data_shape(), path)
    first = float(header["vox_offset"])
    least = header.single_vox_offset if header["magic"] == header.single_magic else 0
    if not least <= first <= _FURTHEST:
        raise ScanError(
            f"its voxels would begin at byte {first:g} (vox_offset), and its header ends at {least}", path=path,
            remedy="save it again with the tool that wrote it",
        )  # fmt: skip
    return int(first + np.prod(header.get_data_shape(), dtype=float) * header.get_data_dtype().itemsize)


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
