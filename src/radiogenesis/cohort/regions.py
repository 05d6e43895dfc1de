"""Tumour regions: what the framework of Li, Sui et al. sees of a tumour, cut from any slices with outlines.

The loose tumour region (LTR) is a square with the tumour in its middle and its surroundings around; the tight tumour
region (TTR) is the tumour's own box, stretched to a square. Whether the outline was drawn by a person or found by the
U-Net makes no difference here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.sampling import linear_weights

LTR_PIXELS, TTR_PIXELS = 128, 64
"""Sides of the regions in pixels (Li, Sui et al., section III.B)."""


def tumour_regions(
    images: NDArray[np.generic],
    masks: NDArray[np.bool_],
    *,
    ltr_pixels: int = LTR_PIXELS,
    ttr_pixels: int = TTR_PIXELS,
    loose_side: float | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The loose and the tight tumour region of every slice (Li, Sui et al., section III.B).

    The middle of both is the middle of the tumour's box in that slice. Values are interpolated linearly; where a pixel
    of the region is larger than one of the slice, details smaller than it are averaged away, as everywhere in
    `cohort.sampling`. Beyond the slice its border goes on: air there would frame every region whose tumour is not in
    the middle of its slice, and a GAN would learn to draw frames.

    Args:
        images: (B, P, Q) HU.
        masks: (B, P, Q) the tumour in each slice; where they are not boolean, above 0.5 is tumour.
        ltr_pixels: side of the loose region.
        ttr_pixels: side of the tight region; a box that is not square is stretched along its shorter side.
        loose_side: side of the loose region in pixels of the slice, P where None: the whole field of view of a lesion
            slice. The paper's crop of 128 pixels out of the CT itself is `loose_side=128` on slices of the scan.

    Returns:
        LTR (B, ltr_pixels, ltr_pixels) and TTR (B, ttr_pixels, ttr_pixels), float32, HU.

    Raises:
        ValueError: the shapes differ, or a slice has no tumour.
    """
    if images.ndim != 3 or images.shape != masks.shape:
        raise ValueError(f"images {images.shape} and masks {masks.shape} must be of one shape (B, P, Q)")
    boxes = tumour_boxes(masks)
    side = images.shape[1] if loose_side is None else loose_side
    ltr = np.empty((len(images), ltr_pixels, ltr_pixels), np.float32)
    ttr = np.empty((len(images), ttr_pixels, ttr_pixels), np.float32)
    for at, (image, (top, left, bottom, right)) in enumerate(zip(images, boxes, strict=True)):
        middle = (top + bottom - 1) / 2, (left + right - 1) / 2
        ltr[at] = _resampled(image, middle, (side, side), ltr_pixels)
        ttr[at] = _resampled(image, middle, (bottom - top, right - left), ttr_pixels)
    return ltr, ttr


def tumour_boxes(masks: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The box around the tumour in every slice: (B, P, Q) -> (B, 4) first row, first column, last row + 1, last column
    + 1. Raises ValueError where a slice has no tumour."""
    inside = masks > 0.5
    rows, columns = (np.asarray(inside.any(axis=across)) for across in (2, 1))  # (B, P), (B, Q)
    empty = np.flatnonzero(~rows.any(axis=1))
    if len(empty):
        raise ValueError(f"slice {empty[0]} of {len(masks)} has no tumour, so there is no region to cut")
    ends = [axis.shape[1] - axis[:, ::-1].argmax(axis=1) for axis in (rows, columns)]
    return np.stack([rows.argmax(axis=1), columns.argmax(axis=1), *ends], axis=1)


def _resampled(
    image: NDArray[np.generic], middle: tuple[float, float], side: tuple[float, float], pixels: int
) -> NDArray[np.float64]:
    """The rectangle of `side` (rows, columns) around `middle`, resampled to pixels x pixels; the border goes on."""
    (from_rows, rows), (from_columns, columns) = (
        linear_weights(center, length / pixels, pixels) for center, length in zip(middle, side, strict=True)
    )
    cut = image[np.ix_(*(index.clip(0, n - 1) for index, n in zip((rows, columns), image.shape, strict=True)))]
    resampled: NDArray[np.float64] = from_rows @ cut @ from_columns.T
    return resampled
