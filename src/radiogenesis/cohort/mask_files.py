"""Masks in files of their own (NIfTI, NRRD, MetaImage) on the scan that they belong to: tumors, and organs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.itk_files import segment_names
from radiogenesis.cohort.labels import Mask, parts_of
from radiogenesis.cohort.sampling.pieces import whole_planes
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.volume_files import is_volume, stem
from radiogenesis.cohort.volumes import load_volume
from radiogenesis.errors import ScanError


def with_mask_files(scan: Scan, source: Source, settings: ReadSettings) -> Scan:
    """The scan with what the source's mask files outline as its tumor: all of it united, and who is who in `parts`.

    Raises:
        ScanError: a mask is damaged, has another grid, labels of which none is known to be the tumor's, lies on some
            planes only, or is empty.
    """
    files = [path for path in source.outline_files if is_volume(path)]
    if not files:
        return scan
    parts = list(_parts(files, source, settings, scan))
    tumor, remark = whole_planes(np.logical_or.reduce([mask for _, mask in parts]), scan.spacing_mm, files[0])
    scan = replace(scan.with_mask("tumor", tumor, tumor=True), remarks=(*scan.remarks, *filter(None, [remark])))
    return scan.with_parts(parts) if len(parts) > 1 else scan


def with_organ(scan: Scan, source: Source, settings: ReadSettings) -> Scan:
    """The scan with the organ that the user's own masks hold, all of them united; as it is where there are none.

    What cannot be used is said in `unplaced`: slices of the lesion need no organ.
    """
    try:
        organ = [_organ(scan, path, source, settings) for path in source.organ_files or ()]
    except ScanError as error:
        return replace(scan, unplaced=f"the mask of the organ cannot be used: {error}")
    return replace(scan, organ=np.logical_or.reduce(organ)) if organ else scan


def _organ(scan: Scan, path: Path, source: Source, settings: ReadSettings) -> Mask:
    values = on_grid_of(scan, path, source.image_files[0].name)
    wanted = settings.organ_label if settings.organ_label.replace(",", "").isdigit() else "*"
    organ = np.logical_or.reduce(list(parts_of(values, path, wanted, {}, settings.fraction).values()))
    if not organ.any():
        raise ScanError("it is empty", path=path, remedy="check the segmentation")
    return np.asarray(organ)


def _parts(files: list[Path], source: Source, settings: ReadSettings, scan: Scan) -> Iterator[tuple[str, Mask]]:
    """Name and mask of every label of every file that is the tumor's."""
    labels = source.outline_labels or ("",) * len(files)
    for path, label in zip(files, labels, strict=True):
        values = on_grid_of(scan, path, source.image_files[0].name)
        names = dict(source.label_names) or segment_names(path)
        wanted = label or (settings.label if not source.structures else "")
        for name, mask in parts_of(values, path, wanted, names, settings.fraction).items():
            yield (name if len(files) == 1 else f"{stem(path)} {name}"), mask


def on_grid_of(scan: Scan, path: Path, image: str) -> NDArray[np.float32]:
    """(Z, Y, X) values of a mask, axes exchanged and flipped as those of the scan are.

    3D Slicer saves no more of a segmentation (.seg.nrrd) than the box around what is drawn: around it is nothing.

    Raises:
        ScanError: it cannot be read, or its voxels are not the scan's.
    """
    values, affine = load_volume(path)
    if values.shape == scan.hu.shape and np.allclose(affine, scan.affine, atol=1e-2):
        return values
    to_scan = np.linalg.inv(scan.affine) @ affine  # index -> index
    turn = nib.orientations.io_orientation(to_scan)
    if np.isfinite(turn).all():
        to_scan = to_scan @ nib.orientations.inv_ornt_aff(turn, values.shape)
        values = nib.orientations.apply_orientation(values, turn)
    corner = np.rint(to_scan[:3, 3]).astype(int)
    fits = np.allclose(to_scan[:3, :3], np.eye(3), atol=1e-3) and np.allclose(to_scan[:3, 3], corner, atol=0.05)
    whole = values.shape == scan.hu.shape and not corner.any()
    within = (corner >= 0).all() and (corner + values.shape <= scan.hu.shape).all()
    if not fits or not (whole or (within and path.name.lower().endswith(".seg.nrrd"))):
        raise ScanError(
            f"the mask's grid {values.shape} at {_corner(affine)} mm is not that of {image}, "
            f"{scan.hu.shape} at {_corner(scan.affine)} mm",
            path=path,
            remedy="resample the mask to the image",
        )
    placed = np.zeros(scan.hu.shape, np.float32)
    placed[tuple(slice(at, at + size) for at, size in zip(corner, values.shape, strict=True))] = values
    return placed


def _corner(affine: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in affine[:3, 3]) + ")"
