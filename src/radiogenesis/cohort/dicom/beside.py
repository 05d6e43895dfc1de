"""What is outlined beside the tumor: it may be another lesion, so none of it is healthy lung."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.dicom.headers import DAMAGE, RTSTRUCT, lenient
from radiogenesis.cohort.dicom.outlines import listed, read_outline
from radiogenesis.cohort.dicom.rtstruct import other_rois
from radiogenesis.cohort.dicom.seg import other_segments
from radiogenesis.cohort.dicom.series import Series
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.walk import refuse_passing
from radiogenesis.errors import ScanError

ALL_OF_IT = 0.95  # of the tumor, for what lies around it
LUNG_ML = 250.0  # no lesion holds so much air: a lung does, a lobe, the body, or the margin round a large target
AIR_HU = -500


def with_others(scan: Scan, source: Source, series: Series, settings: ReadSettings, *, of_lungs: bool = True) -> Scan:
    """The scan with one more mask, where anything is outlined that may be another lesion; the mask's name says what.

    Neither name nor code tells lesions from organs reliably, so everything counts, save segments that are coded as
    anatomy and what holds `LUNG_ML` of air. An organ that is no lung takes nothing from the lungs; where backgrounds
    are cut from another organ, what is as large and holds the tumor is that organ, or the body. Where an outline cannot
    be placed on the scan, `scan.unplaced` says so.
    """
    is_organ = _is_aerated if of_lungs else _is_around
    mask, names, unplaced = np.zeros(scan.hu.shape, bool), list[str](), list[str]()
    for path in (*source.outline_files, *source.other_outlines):
        if path in source.unread_outlines:
            continue
        try:
            for name, other in _others(path, series, settings, all_of_them=path in source.other_outlines):
                if other.any() and not is_organ(scan, other):
                    mask |= other
                    names.append(name)
        except (ScanError, *DAMAGE) as error:
            refuse_passing(error, path)
            unplaced.append(str(path))
    if mask.any():
        scan = scan.with_mask(f"what is outlined beside the tumor: {listed(names)}", mask)
    if unplaced:
        where = f"what is outlined beside the tumor cannot be placed on the CT: {', '.join(unplaced)}"
        scan = replace(scan, unplaced=where)
    return scan


def _others(
    path: Path, series: Series, settings: ReadSettings, *, all_of_them: bool
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    with lenient():
        data = read_outline(path)
        others = other_rois if data.get("SOPClassUID") == RTSTRUCT else other_segments
        yield from others(data, path, series, settings, all_of_them=all_of_them)


def _is_aerated(scan: Scan, mask: NDArray[np.bool_]) -> bool:
    air = np.count_nonzero(scan.hu[mask] < AIR_HU)
    return bool(air * np.prod(scan.spacing_mm) / 1000 >= LUNG_ML)


def _is_around(scan: Scan, mask: NDArray[np.bool_]) -> bool:
    tumor = scan.tumor_mask
    large = np.count_nonzero(mask) * np.prod(scan.spacing_mm) / 1000 >= LUNG_ML
    return bool(large and tumor.any() and np.count_nonzero(mask & tumor) >= ALL_OF_IT * np.count_nonzero(tumor))
