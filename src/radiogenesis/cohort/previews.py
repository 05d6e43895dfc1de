"""One picture per patient, so that a person can look at what was outlined, taken for lung, and cut out."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.sampling.slices import Backgrounds, NoduleSlices
from radiogenesis.cohort.scan import Scan
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.output import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from radiogenesis.cohort.store import PatientData

_WINDOW = {"vmin": -1000, "vmax": 500, "cmap": "gray"}  # HU, the window that the networks see
_TUMOR, _ORGAN, _CENTER = "#ff4d4d", "#4dd2ff", "#ffe14d"
_STRIP = 8  # samples shown of each kind
_WIDTH, _CUT = 12.0, 6.2  # inches: the whole width, and the height of the cuts


def write_preview(
    path: Path,
    scan: Scan,
    organ: NDArray[np.bool_] | None,
    data: PatientData,
    note: str,
    imaging: Imaging = LUNG_CT,
) -> None:
    """Axial and coronal cut with the tumor's outline (red), the organ's (blue) and the backgrounds' centers projected
    onto the cut (yellow); below, the first slices and backgrounds as the cohort has them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    strips = [record for record in (data.slices, data.backgrounds) if record is not None]
    z, y, _ = _center(scan, organ)
    named = "lungs" if imaging.organ == "lung" else imaging.organ
    dz, dy, dx = scan.spacing_mm
    volume = "" if np.isnan(data.tumor_volume_ml) else f"   tumor {data.tumor_volume_ml:.1f} ml"
    size = "" if organ is None else f"   {named} {organ.sum() * dz * dy * dx / 1e6:.2f} l"
    title = f"{scan.patient}{volume}{size}   {dz:g} x {dy:.3g} x {dx:.3g} mm"
    legend = f"red: tumor   blue: {named}   yellow: centers of the backgrounds, projected onto the cut"
    head = [title, *textwrap.wrap(note, 120), legend]
    # Places are reckoned here: finding them by the text's extents took longer than drawing all the pictures.
    above, below = 0.3 + 0.17 * len(head), 1.75 * len(strips)
    figure = Figure(figsize=(_WIDTH, above + _CUT + below), facecolor="white")
    FigureCanvasAgg(figure)
    height = figure.get_figheight()
    figure.text(0.5, 1 - 0.08 / height, "\n".join(head), ha="center", va="top", fontsize=10)
    axial, coronal = (
        figure.add_axes((left / _WIDTH, below / height, 5.8 / _WIDTH, (_CUT - 0.1) / height)) for left in (0.15, 6.1)
    )
    centers = _centers(scan, data)
    _cut(axial, scan.hu[z], _at(organ, np.s_[z]), scan.tumor_mask[z], dy / dx, centers[:, [2, 1]])
    _cut(coronal, scan.hu[:, y], _at(organ, np.s_[:, y]), scan.tumor_mask[:, y], dz / dx, centers[:, [2, 0]])
    coronal.invert_yaxis()  # z ascends towards the head
    axial.set_title(f"axial, slice {z} of {len(scan.hu)}", fontsize=9)
    coronal.set_title(f"coronal, row {y}", fontsize=9)
    for row, record in enumerate(reversed(strips)):
        _strip(figure.add_axes((0.1 / _WIDTH, (0.05 + 1.75 * row) / height, 11.8 / _WIDTH, 1.45 / height)), record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=80, format="png")


def _center(scan: Scan, organ: NDArray[np.bool_] | None) -> tuple[int, int, int]:
    """(z, y, x) of the tumor's slice with the largest area, else of the organ's middle, else of the scan's."""
    mask = scan.tumor_mask if scan.tumor is not None and scan.tumor_mask.any() else organ
    if mask is None or not mask.any():
        z, y, x = (size // 2 for size in scan.hu.shape)
        return z, y, x
    z = int(mask.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(mask[z])
    return z, int(np.median(rows)), int(np.median(columns))


def _centers(scan: Scan, data: PatientData) -> NDArray[np.float64]:
    """(n, 3) array indices (z, y, x) of the backgrounds' centers."""
    if data.backgrounds is None or not len(data.backgrounds.center_mm):
        return np.empty((0, 3))
    centers = np.unique(data.backgrounds.center_mm, axis=0)
    return (centers - scan.affine[:3, 3]) @ np.linalg.inv(scan.affine[:3, :3]).T


def _cut(
    axes: Axes,
    hu: NDArray[np.int16],
    organ: NDArray[np.bool_] | None,
    tumor: NDArray[np.bool_],
    aspect: float,
    centers_xy: NDArray[np.float64],
) -> None:
    axes.imshow(hu, aspect=aspect, interpolation="nearest", **_WINDOW)  # type: ignore[arg-type]
    for mask, color in ((organ, _ORGAN), (tumor, _TUMOR)):
        _outline(axes, mask, color)
    axes.plot(*centers_xy.T, "x", color=_CENTER, markersize=8, markeredgewidth=1.5)
    axes.set_axis_off()


def _outline(axes: Axes, mask: NDArray[np.bool_] | None, color: str) -> None:
    if mask is not None and mask.any() and not mask.all() and min(mask.shape) > 1:
        axes.contour(mask, levels=[0.5], colors=color, linewidths=0.8)


def _strip(axes: Axes, record: NoduleSlices | Backgrounds) -> None:
    """Evenly chosen slices with their masks, or evenly chosen backgrounds, side by side in one picture."""
    count, side = record.image.shape[:2]
    gap = max(1, side // 32)
    chosen = np.linspace(0, count - 1, min(_STRIP, count)).round().astype(int)
    picture = np.full((side, _STRIP * (side + gap)), np.nan)
    outlines = np.zeros(picture.shape, bool)
    for column, at in enumerate(chosen):
        place = np.s_[:, column * (side + gap) : column * (side + gap) + side]
        picture[place] = record.image[at]
        if isinstance(record, NoduleSlices):
            outlines[place] = record.mask[at]
            middle = column * (side + gap) + side / 2
            axes.text(middle, -gap, f"{record.offset_mm[at]:+.1f} mm", fontsize=7, ha="center", va="bottom")
    axes.set_axis_off()
    axes.imshow(picture, interpolation="nearest", **_WINDOW)  # type: ignore[arg-type]
    _outline(axes, outlines, _TUMOR)


def _at(mask: NDArray[np.bool_] | None, where: Any) -> NDArray[np.bool_] | None:
    return None if mask is None else mask[where]
