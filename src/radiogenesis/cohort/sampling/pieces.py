"""The pieces that an outline is in: planes that were forgotten, and lesions that are several.

A piece is what hangs together by faces, edges or corners of voxels. Pieces below a hundredth of the outline are crumbs
of its edge: they are kept where they are, and nothing is concluded from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from radiogenesis.cohort.plausible import refuse_outline
from radiogenesis.cohort.scan import Scan
from radiogenesis.errors import ScanError

Mask = NDArray[np.bool_]

CRUMB = 0.01  # share of the outline's voxels below which a piece decides nothing
CRUMB_ML = 0.01  # where every lesion counts, so large a piece decides something beside the largest tumor too
FORGOTTEN_MM = 10.0  # a gap between planes up to here may lie within a lesion, a longer one lies between two
FORGOTTEN_PLANES = 2  # so many are forgotten once; a single longer gap may lie between two lesions, several do not
ALIKE = 0.1  # share of the larger of two cuts that the smaller one has at least, where both are of one lesion
MISSING = 1 / 3  # so many planes may be missing for each one that is drawn
APART_MM = 5.0  # pieces further apart than this, and than two voxels, are lesions of their own

_CORNERS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class _Gap:
    """Planes without contour between two pieces that lie above each other."""

    lower: int  # label of the piece below
    upper: int
    first: int  # its last plane
    last: int  # first plane of the piece above

    @property
    def planes(self) -> int:
        return self.last - self.first - 1


def whole_planes(mask: Mask, spacing_mm: tuple[float, float, float], path: Path) -> tuple[Mask, str]:
    """The outline with the few planes that were forgotten interpolated between their neighbors, and a remark on it.

    Args:
        mask: (Z, Y, X).
        spacing_mm: of its voxels, (z, y, x).
        path: the file it is from.

    Raises:
        ScanError: the outline is empty, larger than a tumor can be, or drawn on some of its planes only (more than a
            third as many are missing as are drawn): it is a guess what lies between.
    """
    if not mask.any():
        raise ScanError("the outline is empty: no voxel center lies inside it", path=path)
    refuse_outline(mask, spacing_mm, path)
    box = box_of(mask)
    labels = _pieces(mask[box])
    chains = _chains(list(_gaps(labels, spacing_mm[0])))
    left = [chain for chain in chains if len(chain) == 1 and _left_open(chain[0], labels)]
    inside = [chain for chain in chains if chain not in left]
    for chain in inside:
        _refuse_sparse(labels, chain, path)
    gaps = [gap for chain in inside for gap in chain]
    told = [f"{_planes(gaps)} without contour inside the lesion interpolated"] if gaps else []
    told += [f"{_planes(chain)} without contour between two pieces left empty" for chain in left]
    filled = mask.copy()
    filled[box] |= _between(labels, gaps, spacing_mm)
    return filled, "; ".join(told)


def with_gaps_filled(mask: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """(Z, Y, X): the outline with every plane interpolated that lies between two of the same lesion."""
    if not mask.any():
        return mask
    box = box_of(mask)
    labels = _pieces(mask[box])
    filled = mask.copy()
    filled[box] |= _between(labels, list(_gaps(labels, spacing_mm[0])), spacing_mm)
    return filled


def main_lesion(scan: Scan) -> tuple[Scan, str]:
    """The scan with only the largest lesion as its tumor where several are outlined, and a remark on it.

    Images are centered on one lesion: between two there may be none.
    """
    mask = scan.tumor_mask
    if not mask.any():
        return scan, ""
    box = box_of(mask)
    labels = _pieces(mask[box])
    lesions = sorted(_lesions(labels, scan.spacing_mm), key=lambda lesion: -np.isin(labels, lesion).sum())
    if scan.tumor is None or len(lesions) < 2:
        return scan, ""
    masks = [np.isin(labels, lesion) for lesion in lesions]
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000
    centers = [np.argwhere(one).mean(axis=0) * scan.spacing_mm for one in masks]
    apart = np.linalg.norm(centers[0] - centers[1])
    volumes = ", ".join(f"{one.sum() * voxel_ml:.2f}" for one in masks)
    largest = np.zeros_like(mask)
    largest[box] = masks[0]
    remark = (
        f"outlined in {len(masks)} pieces {apart:.0f} mm apart ({volumes} ml): slices and volume are of the largest one"
    )
    return replace(scan, masks={**scan.masks, scan.tumor: largest}), remark


def lesions_apart(mask: Mask, spacing_mm: tuple[float, float, float]) -> list[Mask]:
    """The lesions of an outline (Z, Y, X) that lie apart, each by itself, crumbs left out."""
    labels = _pieces(mask, CRUMB_ML * 1000 / float(np.prod(spacing_mm)))
    return [np.isin(labels, lesion) for lesion in _lesions(labels, spacing_mm)]


def box_of(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds the mask."""
    places = (np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(int(some[0]), int(some[-1]) + 1) for some in places)


def _pieces(mask: Mask, most_voxels: float = np.inf) -> NDArray[np.int32]:
    """Labels of the pieces, crumbs left out: what is a small share of the outline, and has fewer voxels than that."""
    labels, _ = ndimage.label(mask, _CORNERS)
    crumbs = np.bincount(labels.ravel()) < min(CRUMB * mask.sum(), most_voxels)
    labels[crumbs[labels]] = 0
    return np.asarray(labels, np.int32)


def _gaps(labels: NDArray[np.int32], plane_mm: float) -> Iterator[_Gap]:
    """Pairs of pieces of which one goes on where the other ends, some planes above."""
    extent = {label: box[0] for label, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None}
    for lower, planes in extent.items():
        top = labels[planes.stop - 1] == lower
        for z in range(planes.stop + 1, len(labels)):
            above = np.unique(labels[z][top])
            starting = [int(label) for label in above if label and extent[int(label)].start == z]
            alike = [label for label in starting if _alike(top, labels[z] == label)]
            near = (z - planes.stop) * plane_mm <= FORGOTTEN_MM
            yield from (
                _Gap(lower, upper, planes.stop - 1, z)
                for upper in alike
                if near or _height(planes) == _height(extent[upper]) == 1
            )
            if above.any():
                break


def _left_open(gap: _Gap, labels: NDArray[np.int32]) -> bool:
    """Whether a gap that is the only one may lie between two lesions."""
    drawn = np.isin(labels, [gap.lower, gap.upper]).any(axis=(1, 2)).sum()
    return gap.planes > FORGOTTEN_PLANES and drawn > 2  # two single planes are no sign of two lesions


def _planes(gaps: list[_Gap]) -> str:
    count = sum(gap.planes for gap in gaps)
    return f"{count} plane{'s' * (count > 1)}"


def _height(planes: slice) -> int:
    return int(planes.stop - planes.start)


def _alike(one: Mask, other: Mask) -> bool:
    small, large = sorted((int(one.sum()), int(other.sum())))
    return small >= ALIKE * large


def _chains(gaps: list[_Gap]) -> list[list[_Gap]]:
    """Gaps of the same lesion together."""
    chains: list[list[_Gap]] = []
    for gap in gaps:
        ends = {gap.lower, gap.upper}
        joined = [chain for chain in chains if any(ends & {one.lower, one.upper} for one in chain)]
        chains = [chain for chain in chains if chain not in joined] + [[gap, *(one for own in joined for one in own)]]
    return chains


def _refuse_sparse(labels: NDArray[np.int32], chain: list[_Gap], path: Path) -> None:
    lesion = np.isin(labels, [label for gap in chain for label in (gap.lower, gap.upper)])
    planes = np.flatnonzero(lesion.any(axis=(1, 2)))
    missing = int(planes[-1] - planes[0]) + 1 - len(planes)
    if missing <= MISSING * len(planes):
        return
    steps = set(np.diff(planes).tolist())
    step = steps.pop()
    which = {2: "second", 3: "third"}.get(step, f"{step}th")
    where = (
        f"{len(planes)} of the {len(planes) + missing} planes between its first and its last"
        if steps
        else f"every {which} plane of the CT only"
    )
    raise ScanError(
        f"the outline lies on {where}",
        path=path,
        remedy="interpolate it to all planes, or give the CT it was drawn on",
    )


def _between(labels: NDArray[np.int32], gaps: list[_Gap], spacing_mm: tuple[float, float, float]) -> Mask:
    """What lies in the gaps: the signed distance from the edge, interpolated linearly between the planes (Raya and
    Udupa 1990, IEEE Trans Med Imaging 9:32)."""
    filled = np.zeros(labels.shape, bool)
    for gap in gaps:
        below, above = (
            _signed_mm(labels[z] == label, spacing_mm) for z, label in ((gap.first, gap.lower), (gap.last, gap.upper))
        )
        for z in range(gap.first + 1, gap.last):
            share = (z - gap.first) / (gap.last - gap.first)
            filled[z] |= (1 - share) * below + share * above > 0
    return filled


def _signed_mm(plane: Mask, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance to the edge in mm, positive inside."""
    padded = np.pad(plane, 1)
    inside, outside = (ndimage.distance_transform_edt(part, sampling=spacing_mm[1:]) for part in (padded, ~padded))
    signed: NDArray[np.float64] = (inside - outside)[1:-1, 1:-1]
    return signed


def _lesions(labels: NDArray[np.int32], spacing_mm: tuple[float, float, float]) -> list[list[int]]:
    """The pieces of each lesion: those that are near enough to another one of it."""
    limit = max(APART_MM, 2 * max(spacing_mm))
    lesions: list[list[int]] = []
    trees = {}
    for label in np.unique(labels[labels > 0]).tolist():
        trees[label] = cKDTree(_edge(labels == label) * spacing_mm)
        near = [own for own in lesions if any(_within(trees[label], trees[other], limit) for other in own)]
        lesions = [own for own in lesions if own not in near] + [[label, *(other for own in near for other in own)]]
    return lesions


def _within(one: cKDTree, other: cKDTree, limit: float) -> bool:
    nearest, _ = one.query(other.data, distance_upper_bound=limit)
    return bool(np.isfinite(nearest).any())


def _edge(piece: Mask) -> NDArray[np.intp]:
    """(n, 3) indices of a piece's outer voxels."""
    return np.argwhere(piece & ~ndimage.binary_erosion(piece))
