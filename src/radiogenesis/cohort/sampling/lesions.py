"""Every lesion of a patient, or the largest: what the nodule slices show.

With `--lesions all` each lesion is cut by itself, the square centered on it. Lesions are told apart by label, ROI or
file where the outline has several, and within each by lying apart (`pieces`). They stay their patient's: a patient is
what is split, drawn again and permuted, however many lesions there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.sampling.pieces import Mask, box_of, lesions_apart, main_lesion
from radiogenesis.cohort.sampling.slices import NoduleSlices, SamplingSettings, nodule_slices
from radiogenesis.cohort.scan import Scan
from radiogenesis.errors import ScanError


@dataclass(frozen=True)
class LesionRows:
    """The lesions of one patient, the largest first.

    Attributes:
        of: (N,) int32, which lesion each of the patient's slices shows, from 1 on.
        name: (L,) label, ROI or file it was outlined as; "" where there was only one.
        volume_ml: (L,) float64.
        center_mm: (L, 3) float64, centroid (x, y, z) in LPS.
    """

    of: NDArray[np.int32]
    name: NDArray[np.str_]
    volume_ml: NDArray[np.float64]
    center_mm: NDArray[np.float64]


@dataclass(frozen=True)
class Cut:
    """What was cut of a patient's lesions.

    Attributes:
        slices: of the largest lesion, or of all of them one after the other; `center_mm` is the largest one's.
        volume_ml: of the largest one.
        rows: which lesion is which; None where only the largest was asked for.
        remark: what was left out, in words; "" for nothing.
    """

    slices: NoduleSlices
    volume_ml: float
    rows: LesionRows | None
    remark: str


def cut_lesions(scan: Scan, settings: SamplingSettings) -> Cut:
    """Cut what `settings.lesions` asks for. Raises ScanError where no slice of any lesion shows enough of it."""
    assert scan.tumor is not None
    if settings.lesions == "largest":
        shown, several = main_lesion(scan)
        return Cut(nodule_slices(shown, settings), shown.volume_ml(scan.tumor), None, several)
    every = list(_every_lesion(scan))
    kept = [lesion for lesion in every if lesion.ml >= settings.least_lesion_ml] or every[:1]
    small = len(every) - len(kept)
    told = [f"{small} of {len(every)} lesions below {settings.least_lesion_ml:g} ml left out"] if small else []
    cuts: list[tuple[_Lesion, NoduleSlices]] = []
    for number, lesion in enumerate(kept, start=1):
        try:
            cuts.append((lesion, nodule_slices(lesion.alone_on(scan), settings)))
        except ScanError as error:
            if len(kept) == 1:
                raise
            told.append(f"lesion {number} of {len(kept)} left out: {error.problem}")
    if not cuts:
        raise ScanError(f"scan of {scan.patient}: none of its {len(kept)} lesions can be cut: {told[-1]}")
    return Cut(_together([slices for _, slices in cuts]), cuts[0][0].ml, _rows(cuts), "; ".join(told))


@dataclass(frozen=True)
class _Lesion:
    name: str
    box: tuple[slice, ...]
    mask: Mask  # within the box
    ml: float

    def alone_on(self, scan: Scan) -> Scan:
        """The scan with this lesion as its only tumor."""
        mask = np.zeros(scan.hu.shape, bool)
        mask[self.box] = self.mask
        return replace(scan, masks={**scan.masks, str(scan.tumor): mask})


def _every_lesion(scan: Scan) -> Iterator[_Lesion]:
    """The lesions, the largest first."""
    mask = scan.tumor_mask
    if not mask.any():
        return
    box, voxel_ml = box_of(mask), float(np.prod(scan.spacing_mm)) / 1000
    whose = mask[box].astype(np.int16) if scan.parts is None else scan.parts[box]
    lesions = [
        _Lesion(scan.part_names[number - 1] if scan.part_names else "", box, piece, float(piece.sum()) * voxel_ml)
        for number in np.unique(whose[whose > 0]).tolist()
        for piece in lesions_apart(whose == number, scan.spacing_mm)
    ]
    yield from sorted(lesions, key=lambda lesion: -lesion.ml)


def _together(cuts: list[NoduleSlices]) -> NoduleSlices:
    image, mask, offset = (
        np.concatenate([getattr(cut, name) for cut in cuts]) for name in ("image", "mask", "offset_mm")
    )
    return NoduleSlices(image=image, mask=mask, offset_mm=offset, center_mm=cuts[0].center_mm)


def _rows(cuts: list[tuple[_Lesion, NoduleSlices]]) -> LesionRows:
    return LesionRows(
        of=np.repeat(np.arange(1, len(cuts) + 1, dtype=np.int32), [len(slices.image) for _, slices in cuts]),
        name=np.array([lesion.name for lesion, _ in cuts], dtype=str),
        volume_ml=np.array([lesion.ml for lesion, _ in cuts]),
        center_mm=np.stack([slices.center_mm for _, slices in cuts]),
    )
