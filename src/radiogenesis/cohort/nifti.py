"""A scan whose image is one file (NIfTI, NRRD, MetaImage), with its masks; and how NIfTI is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.hounsfield import as_int16, checked_hu
from radiogenesis.cohort.mask_files import with_mask_files
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.volume_files import NIFTI
from radiogenesis.cohort.volumes import LPS_FROM_RAS, load_volume, refuse_single_plane
from radiogenesis.errors import ScanError
from radiogenesis.output import refuse_existing, whole_file


def read_nifti(source: Source, settings: ReadSettings) -> Scan:
    """Read one image, of CT in HU, and, where there are any, its masks (see `mask_files`).

    Raises:
        ScanError: a file is damaged, has no orientation or two that differ, is sheared or not 3-D; the image is not in
            HU; a mask has another grid, labels of which none is known to be the tumor's, lies on some planes only, or
            is empty.
    """
    image_path = source.image_files[0]
    values, affine = load_volume(image_path, source.channel)
    if settings.normalize == "none":
        refuse_single_plane(values, image_path)
    hu, remarks = checked_hu(as_int16(values), image_path) if settings.normalize == "none" else (values, ())
    scan = Scan(patient=source.patient, hu=hu, affine=affine, remarks=remarks)
    return with_mask_files(scan, source, settings)


def write_nifti(path: Path, volume: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write a volume (Z, Y, X); masks become uint8.

    Args:
        path: ends in .nii or .nii.gz.
        affine: (4, 4) index (z, y, x, 1) -> LPS mm, as in `Scan`.

    Raises:
        ScanError: the file exists, or has another ending.
    """
    suffix = next((suffix for suffix in NIFTI if path.name.endswith(suffix)), None)
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
