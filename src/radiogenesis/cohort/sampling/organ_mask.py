"""Where an organ lies in a scan: lungs by their air, a brain inside its head, a body by its foreground.

What is no lung is found simply, and not told from its neighbours: breast, liver and kidney count as the whole body, and
a head as a brain under 12 mm of skin and skull, unless all around it was set to one value: then a skull was taken out
and what is left is the brain. A mask of the user's own is better.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from radiogenesis.cohort.sampling.lungs import lung_mask
from radiogenesis.cohort.scan import Scan
from radiogenesis.errors import ScanError
from radiogenesis.imaging import Imaging, OrganName

Mask = NDArray[np.bool_]

FOUND: tuple[OrganName, ...] = ("lung", "brain", "body")
"""Organs that are found by themselves."""
TISSUE_HU = -300.0  # air is below, fat above
TISSUE = 0.1  # of MR: how far between its 2nd and 98th percentile tissue begins (Smith 2002, Hum Brain Mapp 17:143)
EMPTY, AROUND_MM = 0.99, 5.0  # so large a share of what lies further off is one value where the skull was taken out
SCALP_MM = 12.0  # skin and skull over a brain


def organ_mask(scan: Scan, imaging: Imaging, given: Mask | None = None) -> Mask:
    """(Z, Y, X) bool, the organ as it is found where no lesion is outlined.

    Args:
        scan: as it was read: CT in HU, MR on a scale of its own.
        imaging: which organ, and what the numbers are.
        given: a mask of the user's own, which is taken as it is.

    Raises:
        ScanError: no lung is found, or nothing but empty space.
    """
    if given is not None:
        return given
    if imaging.organ == "lung" and imaging.in_hu:
        return lung_mask(replace(scan, masks={}, tumor=None))
    inside, stripped = _foreground(scan, in_hu=imaging.in_hu)
    if imaging.organ == "brain" and not stripped:
        inside &= ndimage.distance_transform_edt(_walled(inside), sampling=scan.spacing_mm)[1:-1, 1:-1, 1:-1] > SCALP_MM
    if not inside.any():
        raise ScanError(
            f"scan of {scan.patient}: no {imaging.organ} is found in {len(scan.hu)} slices",
            remedy="check that the scan shows it, and that nothing but empty space is at its lowest value",
        )
    return inside


def remark_on(imaging: Imaging, given: Mask | None = None) -> str:
    """What the audit is to say of an organ that is not told from the body around it; "" for one that is."""
    if given is not None or imaging.organ in FOUND:
        return ""
    return f"the {imaging.organ} is not told from the body around it: backgrounds are of the whole body"


def _foreground(scan: Scan, *, in_hu: bool) -> tuple[Mask, bool]:
    """The largest piece that is no empty space, its holes filled slice by slice; and whether all around it was taken
    out before, which leaves one single value there, and no noise."""
    darkest, brightest = np.percentile(scan.hu[:: max(1, len(scan.hu) // 32)], (2, 98))
    found = _largest(scan.hu > (TISSUE_HU if in_hu else darkest + TISSUE * (brightest - darkest)))
    if in_hu or not found.any():
        return found, False
    lowest = scan.hu.min()
    around = ndimage.distance_transform_edt(~found, sampling=scan.spacing_mm) > AROUND_MM
    if not around.any() or np.mean(scan.hu[around] == lowest) < EMPTY:
        return found, False
    return _largest(scan.hu > lowest), True


def _largest(mask: Mask) -> Mask:
    """The largest piece, its holes filled slice by slice."""
    labels, count = ndimage.label(mask)
    if not count:
        return np.zeros(mask.shape, bool)
    largest = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return np.stack([ndimage.binary_fill_holes(plane) for plane in largest])


def _walled(mask: Mask) -> Mask:
    """With nothing around it, but the first and the last plane go on: the end of the stack is no boundary."""
    return np.pad(np.pad(mask, ((1, 1), (0, 0), (0, 0)), mode="edge"), ((0, 0), (1, 1), (1, 1)))
