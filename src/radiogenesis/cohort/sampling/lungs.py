"""The lung mask by HU threshold and morphology, in the steps of Hu et al. 2001 (IEEE Trans Med Imaging 20:490).

    air inside the body -> minus trachea and main bronchi -> left and right lung -> vessels and pleural dents filled

Air that something else encloses is not the body's: a hollow couch, folds of a gown, an object beside the patient.

All of it on a grid of about 2 mm, whose mask is then interpolated back to the scan's voxels. It works for whole
chests, for parts of one and for a single lung.

What it cannot do: a consolidation, an effusion or a tumor that nobody outlined has the density of the chest wall, and
is left out where it is larger than the closing; a lung that leaves the field of view sideways is taken for outside air.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from radiogenesis.cohort.scan import Scan
from radiogenesis.errors import ScanError

Mask = NDArray[np.bool_]
Grid = tuple[float, float, float]

GRID_MM = 2.0  # voxels are averaged in blocks of about this size
LUNG_HU = -400.0  # air and lung are below; vessels, chest wall and tumor above
THIN_MM = 10.0  # couch, clothes and cables are thinner than this, and the body at its trunk is not
GAS_HU = -970.0  # a piece whose median is below is stomach or bowel gas, not lung
LUNG_ML = 40.0  # a smaller piece is no lung of its own
CLOSING_MM = 10.0  # radius of the closing that fills hilar vessels and pleural tumors
TRACHEA_MM2 = (40.0, 700.0)  # cross-section of the trachea, from a child's to a wide one
TRACHEA_HU = -900.0  # its median is below; that of the lung's apex is not
TRACHEA_MM = 15.0  # height over which it must be followed before it is believed
AIRWAYS_ML = 120.0  # trachea and bronchi hold less: a region grown larger has leaked into the lung
BRONCHUS_MM = 3.0  # airways of a larger radius lie in the mediastinum, smaller ones in the lung
WALL_MM = 3.0  # an airway's wall with its blur
APART_MM = 80.0  # the centers of two lungs are further apart than this, those of two lobes are not

IN_SLICE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]


def lung_mask(scan: Scan) -> Mask:
    """Both lungs, (Z, Y, X) bool; vessels, small nodules and the outlined tumor inside, trachea and main bronchi not.

    Raises:
        ScanError: no lung is found.
    """
    dz, dy, dx = scan.spacing_mm
    blocks = (max(1, round(GRID_MM / dz)), max(1, round(GRID_MM / dy)), max(1, round(GRID_MM / dx)))
    grid = (dz * blocks[0], dy * blocks[1], dx * blocks[2])
    hu = _shrink(scan.hu, blocks)

    air = _of_the_body(_enclosed(hu < LUNG_HU), hu >= LUNG_HU, grid)
    airways = _airways(hu, air, grid)
    pieces = _lungs(hu, air & ~_dilate(airways, WALL_MM, grid), grid)
    if not pieces.any():
        raise ScanError(
            f"scan of {scan.patient}: no lung is found in {scan.hu.shape[0]} slices",
            remedy="check that it is a chest CT in HU",
        )
    lungs = np.zeros(air.shape, bool)
    for lung in _left_and_right(pieces, grid):
        lungs |= _fill(lung, grid)
    bronchi = airways & _dilate(_erode(airways, BRONCHUS_MM, grid), BRONCHUS_MM, grid)
    return _enlarge(lungs & ~_dilate(bronchi, WALL_MM, grid), blocks, scan.hu.shape) | scan.tumor_mask


def _enclosed(air: Mask) -> Mask:
    """Air that something encloses in its slice: what touches the image's edge is outside, and all round the table."""
    labels, count = ndimage.label(air, IN_SLICE)
    edges = (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1])
    outside = np.zeros(count + 1, bool)
    for edge in edges:
        outside[edge.ravel()] = True
    outside[0] = True
    return ~outside[labels]


def _of_the_body(air: Mask, tissue: Mask, grid: Grid) -> Mask:
    """The pieces of air most of which lie between parts of the body, not of the couch or of another object.

    The body is the largest piece of tissue once all that is thin is taken away, which cuts it loose from what touches
    it. A thin chest wall goes too, so the body is what lies within its convex outline in each slice.
    """
    thick, count = ndimage.label(_dilate(_erode(tissue, THIN_MM / 2, grid), THIN_MM / 2, grid))
    if not count:
        return np.zeros_like(air)
    body = thick == 1 + int(np.argmax(np.bincount(thick.ravel())[1:]))
    within = np.stack([_convex(plane) for plane in body])
    labels, pieces = ndimage.label(air)
    voxels, inside = (np.bincount(part.ravel(), minlength=pieces + 1) for part in (labels, labels[within]))
    own = inside > 0.5 * voxels
    own[0] = False
    return own[labels]


def _convex(plane: Mask) -> Mask:
    """The convex outline of a slice, filled; of every other voxel, which is four times as fast and near enough."""
    few = plane[::2, ::2]
    if not few.any():
        return np.zeros_like(plane)
    hull = convex_hull_image(few, offset_coordinates=False).repeat(2, axis=0).repeat(2, axis=1)
    return np.asarray(hull[: plane.shape[0], : plane.shape[1]])


def _airways(hu: NDArray[np.float32], air: Mask, grid: Grid) -> Mask:
    """Trachea and bronchi: grown from the trachea under the highest threshold that does not leak (Mori et al. 1996)."""
    trachea = _trachea(hu, air, grid)
    if not trachea.any():
        return trachea
    for threshold in (-700, -750, -800, -850, -900, -940):
        grown = _touching(air & (hu < threshold), trachea)
        if _ml(grown, grid) < AIRWAYS_ML:
            return grown | trachea
    return trachea


def _trachea(hu: NDArray[np.float32], air: Mask, grid: Grid) -> Mask:
    """Round, dark holes of the mediastinum that lie above each other; none where a scan shows one lung only."""
    labels, count = ndimage.label(air, IN_SLICE)
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    dark = np.bincount(labels[hu < TRACHEA_HU], minlength=count + 1)[1:]
    boxes = [(y.stop - y.start) * (x.stop - x.start) for _, y, x in ndimage.find_objects(labels)]
    area_mm2 = pixels * grid[1] * grid[2]
    # A disc fills pi/4 of its box, a crescent of lung little of it; more than half of a lumen is as dark as air.
    chosen = (area_mm2 >= TRACHEA_MM2[0]) & (area_mm2 <= TRACHEA_MM2[1]) & (pixels > 0.5 * np.array(boxes, float))
    chosen &= dark > 0.5 * pixels
    holes = np.concatenate([[False], chosen])[labels]
    columns, _ = ndimage.label(holes, np.ones((3, 3, 3)))
    heights = [z.stop - z.start for z, _, _ in ndimage.find_objects(columns)]
    if not heights or max(heights) * grid[0] < TRACHEA_MM:
        return np.zeros(air.shape, bool)
    return columns == 1 + int(np.argmax(heights))


def _lungs(hu: NDArray[np.float32], air: Mask, grid: Grid) -> Mask:
    """The pieces of air that are large enough for a lung and not as empty as gas."""
    labels, count = ndimage.label(air)
    ml = np.bincount(labels.ravel(), minlength=count + 1) * np.prod(grid) / 1000
    lung = ml >= LUNG_ML
    lung[0] = False
    for piece in np.flatnonzero(lung):
        lung[piece] = np.median(hu[labels == piece]) > GAS_HU
    return lung[labels]


def _left_and_right(lungs: Mask, grid: Grid) -> list[Mask]:
    """The two lungs apart, even where they touch before or behind the heart; a single lung stays whole."""
    for radius in (0.0, 3.0, 6.0, 9.0):
        labels, count = ndimage.label(_erode(lungs, radius, grid))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        large = 1 + np.flatnonzero(sizes > 0.1 * sizes.sum())
        middles = sorted((ndimage.center_of_mass(labels == piece)[2] * grid[2], piece) for piece in large)
        gaps = [b[0] - a[0] for a, b in pairwise(middles)]
        if gaps and max(gaps) > APART_MM:
            split = int(np.argmax(gaps)) + 1
            left, right = ([piece for _, piece in part] for part in (middles[:split], middles[split:]))
            return _nearest(lungs, np.isin(labels, left), np.isin(labels, right))
    return [lungs]


def _nearest(lungs: Mask, first: Mask, second: Mask) -> list[Mask]:
    """Every voxel of `lungs` given to the nearer of two pieces of it."""
    z, y, x = ndimage.distance_transform_edt(~(first | second), return_distances=False, return_indices=True)
    nearer = first[z, y, x]
    return [lungs & nearer, lungs & ~nearer]


def _fill(lung: Mask, grid: Grid) -> Mask:
    """Closing with a ball, then the holes: vessels, bronchi, nodules and dents in the pleura."""
    closed = _erode(_dilate(lung, CLOSING_MM, grid), CLOSING_MM, grid)
    return ndimage.binary_fill_holes(closed)


def _touching(mask: Mask, seed: Mask) -> Mask:
    """The connected pieces of `mask` that hold a voxel of `seed`."""
    labels, count = ndimage.label(mask)
    touched = np.zeros(count + 1, bool)
    touched[labels[seed]] = True
    touched[0] = False
    return touched[labels]


def _dilate(mask: Mask, radius_mm: float, grid: Grid) -> Mask:
    """Dilation with a ball: rows widened to every chord of the ball, and shifted to where that chord is."""
    dz, dy, dx = grid
    reach = [int(radius_mm / step) for step in grid]
    wide = [mask]
    for k in range(1, reach[2] + 1):
        wide.append(wide[-1].copy())
        wide[-1][..., k:] |= mask[..., :-k]
        wide[-1][..., :-k] |= mask[..., k:]
    dilated = np.zeros_like(mask)
    for i, j in np.ndindex(2 * reach[0] + 1, 2 * reach[1] + 1):
        z, y = i - reach[0], j - reach[1]
        chord = radius_mm**2 - (z * dz) ** 2 - (y * dy) ** 2
        if chord >= 0:
            to, source = zip(_shift(z, mask.shape[0]), _shift(y, mask.shape[1]), strict=True)
            dilated[to] |= wide[int(np.sqrt(chord) / dx)][source]
    return dilated


def _shift(by: int, size: int) -> tuple[slice, slice]:
    """Where a shift by `by` writes to and reads from along an axis; what leaves the array is lost."""
    return slice(max(by, 0), size + min(by, 0)), slice(max(-by, 0), size - max(by, 0))


def _erode(mask: Mask, radius_mm: float, grid: Grid) -> Mask:
    """Erosion with a ball; beyond the array the mask goes on as it is at the edge."""
    return ~_dilate(~mask, radius_mm, grid)


def _ml(mask: Mask, grid: Grid) -> float:
    return float(mask.sum() * np.prod(grid) / 1000)


def _shrink(volume: NDArray[np.int16], blocks: tuple[int, int, int]) -> NDArray[np.float32]:
    """Means of blocks; where the last one is not full, the last voxel is repeated."""
    padding = [(0, -n % block) for n, block in zip(volume.shape, blocks, strict=True)]
    padded = np.pad(volume, padding, mode="edge") if np.any(padding) else volume
    shrunk = np.zeros([n // block for n, block in zip(padded.shape, blocks, strict=True)], np.float32)
    for i, j, k in np.ndindex(*blocks):
        shrunk += padded[i :: blocks[0], j :: blocks[1], k :: blocks[2]]
    return shrunk / np.float32(np.prod(blocks))


def _enlarge(mask: Mask, blocks: tuple[int, int, int], shape: tuple[int, ...]) -> Mask:
    """The mask back on the scan's voxels, its edge interpolated linearly between the blocks' centers."""
    along_z, along_y, along_x = (
        _interpolation(n, block, size) for n, block, size in zip(mask.shape, blocks, shape, strict=True)
    )
    used = [np.flatnonzero(weights @ mask.any(others)) for weights, others in ((along_y, (0, 2)), (along_x, (0, 1)))]
    rows, columns = (slice(int(span[0]), int(span[-1]) + 1) for span in used)
    enlarged = np.zeros(shape, bool)
    for z, weights in enumerate(along_z):
        (near,) = np.nonzero(weights)
        plane = np.tensordot(weights[near], mask[near].astype(np.float32), 1)
        if plane.any():
            enlarged[z, rows, columns] = along_y[rows] @ plane @ along_x[columns].T > 0.5
    return enlarged


def _interpolation(n: int, block: int, size: int) -> NDArray[np.float32]:
    """Weights (size, n) of linear interpolation from block centers to voxels; constant beyond the last center."""
    position = np.clip((np.arange(size) - (block - 1) / 2) / block, 0, n - 1)
    return np.clip(1 - np.abs(position[:, None] - np.arange(n)), 0, None).astype(np.float32)
