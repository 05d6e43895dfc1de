"""Fidelity: how much of the background survives. Table 1 of Xu et al. (2020).

MSE, SSIM and PSNR of each synthetic image against the background it was drawn on, intensities scaled to [0, 1] over
the window [-1000, 500] HU. Averaged by patient, then over patients. Where it is looked at:

- the whole image, and outside the lesion;
- a band across the lesion's boundary, where in-painting shows its seam: its inner half holds the lesion itself, so it
  says something beside another method's band only;
- within 1.5 times the radius, as the paper does for in-painting: the radius of the erased sphere around the image's
  center for a method that erases (it has `erased_radius`, in pixels), for every other method that of the circle of the
  drawn lesion's area, around the lesion's centroid. The paper does not say what the others' radius was.

A lesion is no part of its background, so the better one is drawn, the more of the whole image differs. How much must
differ is said by the patients' own lesions, cut out and pasted over the same backgrounds. A method
above them has drawn too little.

PSNR outside the lesion says how a lesion is laid over its background, and nothing else: whatever was drawn, through a
narrow seam it comes out high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.metrics import structural_similarity

from radiogenesis.csv_files import write_csv
from radiogenesis.evaluation.measures.base import (
    FIDELITY,
    REALISM,
    RUN,
    Measure,
    Number,
    Result,
    Score,
    Work,
    together,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.imaging import Imaging
from radiogenesis.reporting.model import Column, Fact, Section, Table
from radiogenesis.reporting.wording import coverage
from radiogenesis.stats.resampling import interval, nanmean, patient_means, resamples
from radiogenesis.window import scaled

if TYPE_CHECKING:
    from radiogenesis.evaluation.results import RunResults

PSNR_CAP_DB = 100.0  # an image that is its background has no finite PSNR
MEASURES = ("mse", "ssim", "psnr")
WHOLE, OUTSIDE, OTHER = "whole image", "outside the lesion", "null: another background"
BAND, NEAR = "across the boundary", "within 1.5 x radius"
PASTED = "reference: whole image, the patient's own lesions pasted"
NEAR_RADII = 1.5  # Xu et al. (2020), section 3.2

PUBLISHED = pd.DataFrame(
    [
        ("in-painting (Jin et al. 2018)", 0.0121, 0.76, 20.94),
        ("baseline: MC-GAN (Park et al. 2018)", 0.0065, 0.74, 22.05),
        ("fusion GAN (Xu et al. 2020)", 0.0044, 0.88, 24.52),
    ],
    columns=["method", *MEASURES],
)
"""Table 1 of Xu et al. (2020): other data (NSCLC Radiogenomics), so a landmark, not a comparison."""


def keeps_background(method: object) -> bool:
    """Whether what it draws can be compared with the background it was given."""
    return bool(getattr(method, "keeps_background", True))


def psnr(mse: NDArray[Any]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio in dB for a peak of 1: -10 log10 MSE, at most 100 dB."""
    return np.asarray(-10 * np.log10(np.maximum(mse, 10 ** (-PSNR_CAP_DB / 10))))


def ssim_map(image: NDArray[Any], background: NDArray[Any]) -> NDArray[np.float64]:
    """(P, P) structural similarity in Wang et al.'s (2004) form: Gaussian window of sigma 1.5, K 0.01 and 0.03."""
    _, local = structural_similarity(
        image, background, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return np.asarray(local)


def outside(mask: NDArray[Any], pixel_mm: float, reach_mm: float) -> NDArray[np.bool_]:
    """(B, P, P) bool: farther than `reach_mm` from the lesion (mask at least 0.5)."""
    lesion = np.asarray(mask) >= 0.5
    distance = np.stack([distance_transform_edt(~one) if one.any() else np.full(one.shape, np.inf) for one in lesion])
    return np.asarray(distance * pixel_mm > reach_mm)


def image_fidelity(
    image: NDArray[Any], background: NDArray[Any], region: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[np.float64]]:
    """MSE, SSIM and PSNR of every image.

    Args:
        image, background: (B, P, P) HU.
        region: (B, P, P) bool, where to look; everywhere if None. An empty region gives nan.

    Returns:
        three arrays (B,). SSIM leaves out 5 pixels along the border, where its window does not fit.
    """
    error, local = _maps(image, background)
    return _within(error, local, np.ones(error.shape, bool) if region is None else region)


def _maps(image: NDArray[Any], background: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(B, P, P) squared error and structural similarity."""
    x, b = scaled(image), scaled(background)
    return (x - b) ** 2, np.stack([ssim_map(xi, bi) for xi, bi in zip(x, b, strict=True)])


def _within(error: NDArray[Any], local: NDArray[Any], region: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    inner = np.zeros(region.shape, bool)
    inner[:, 5:-5, 5:-5] = True
    mse = np.array([_mean(e, w) for e, w in zip(error, region, strict=True)])
    ssim = np.array([_mean(s, w) for s, w in zip(local, region & inner, strict=True)])
    return {"mse": mse, "ssim": ssim, "psnr": psnr(mse)}


def _mean(values: NDArray[Any], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean()) if where.any() else float("nan")


def band(mask: NDArray[Any], pixel_mm: float, reach_mm: float) -> NDArray[np.bool_]:
    """(B, P, P) bool: within `reach_mm` of the lesion's boundary, on either side; nowhere without a lesion."""
    lesion = np.asarray(mask) >= 0.5
    return np.asarray(~outside(lesion, pixel_mm, reach_mm) & ~outside(~lesion, pixel_mm, reach_mm))


def near(mask: NDArray[Any], erased_radius: float | None) -> NDArray[np.bool_]:
    """(B, P, P) bool: within 1.5 times the radius; see the module. `erased_radius` in pixels."""
    lesion = np.asarray(mask) >= 0.5
    rows, columns = np.indices(lesion.shape[1:])
    within = np.zeros(lesion.shape, bool)
    for outline, where in zip(lesion, within, strict=True):
        if erased_radius is not None:
            center, radius = [(size - 1) / 2 for size in outline.shape], erased_radius
        elif outline.any():
            center, radius = (
                [float(place.mean()) for place in np.nonzero(outline)],
                float(np.sqrt(outline.sum() / np.pi)),
            )
        else:
            continue
        where[:] = np.hypot(rows - center[0], columns - center[1]) <= NEAR_RADII * radius
    return within


def fidelity_values(
    image: NDArray[Any],
    mask: NDArray[Any],
    background: NDArray[Any],
    *,
    pixel_mm: float,
    outside_mm: float,
    band_mm: float = 3.0,
    erased_radius: float | None = None,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Fidelity of images by region, and its null: the same images against the next one's background.

    The null is nan where the next background is the same one.

    Args:
        image, mask, background: (B, P, P).
        erased_radius: of the method, in pixels; None for one that erases nothing.
    """
    error, local = _maps(image, background)
    regions = {
        WHOLE: np.ones(error.shape, bool),
        OUTSIDE: outside(mask, pixel_mm, outside_mm),
        BAND: band(mask, pixel_mm, band_mm),
        NEAR: near(mask, erased_radius),
    }
    by_region = {name: _within(error, local, region) for name, region in regions.items()}
    following = np.roll(background, 1, axis=0)
    another = (following != background).any((1, 2))
    null = image_fidelity(image, following)
    return by_region | {OTHER: {name: np.where(another, values, np.nan) for name, values in null.items()}}


def pasted_values(image: NDArray[Any], mask: NDArray[Any], background: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Fidelity of the whole image where real lesions lie over backgrounds, cut out along their masks.

    Args:
        image, mask: (S, P, P) slices of one patient in the order in which they are used, evenly over all of them.
        background: (B, P, P) HU.

    Returns:
        MSE, SSIM and PSNR (B,).
    """
    which = np.linspace(0, len(image) - 1, len(background)).round().astype(int)
    lesion = np.where(np.asarray(mask)[which] >= 0.5, np.asarray(image)[which], background)
    return image_fidelity(lesion, background)


def fidelity_table(
    values: Mapping[str, Mapping[str, NDArray[Any]]], patient: NDArray[Any], settings: EvaluationSettings
) -> pd.DataFrame:
    """Means over patients of `fidelity_values`, with intervals over patients.

    Args:
        values: region -> measure -> (B,) values of all images.
        patient: (B,) whose genes made each.

    Returns:
        one row per region; for every measure its value, `_low` and `_high`; `patients` and `images`.
    """
    patients = sorted(set(map(str, patient)))
    draws = resamples(len(patients), settings.bootstrap, [settings.seed, 1])
    rows = []
    for region, measures in values.items():
        row: dict[str, Any] = {"region": region}
        for name in MEASURES:
            means = patient_means(measures[name], patient, patients)
            low, high = interval(nanmean(means[draws], axis=1), settings.confidence)
            row |= {name: float(nanmean(means, axis=0)), f"{name}_low": low, f"{name}_high": high}
        rows.append({**row, "patients": len(patients), "images": len(patient)})
    return pd.DataFrame(rows)


def fidelity_draws(
    values: Mapping[str, NDArray[Any]], patient: NDArray[Any], settings: EvaluationSettings
) -> dict[str, NDArray[np.float64]]:
    """Measure -> (1 + D,) mean over patients in one region and its resamples, those behind `fidelity_table`."""
    patients = sorted(set(map(str, patient)))
    index = resamples(len(patients), settings.bootstrap, [settings.seed, 1])
    index = np.concatenate([np.arange(len(patients))[None], index])
    return {name: nanmean(patient_means(values[name], patient, patients)[index], axis=1) for name in MEASURES}


class Fidelity(Measure):
    """Table 1 of Xu et al. (2020), of methods that keep the background they are given."""

    table = name = "fidelity"
    numbers: ClassVar = {
        **{
            name: Number(label, better, form, "whole image; reference: the patients' own lesions, pasted", FIDELITY,
                         f"the whole image ({label.partition(',')[0]})", difference)
            for name, label, better, form, difference in (
                ("mse", "MSE", "lower", "small", ".4f"), ("ssim", "SSIM", "higher", ".3f", ".3f"),
                ("psnr", "PSNR, dB", "higher", ".1f", ".1f"),
            )
        },
        "psnr_outside": Number("PSNR outside, dB", "higher", ".1f",
                               "outside the lesion: how narrow the seam is; no more", FIDELITY,
                               "the background outside the lesion (PSNR)", ".1f",
                               "Another background {null}. High through a narrow seam, whatever is drawn."),
        "psnr_band": Number("PSNR boundary, dB", "higher", ".1f", "across the lesion's boundary", REALISM),
        "psnr_near": Number("PSNR near, dB", "higher", ".1f", "within 1.5 times the radius", REALISM),
    }  # fmt: skip
    remark = (
        "PSNR outside the lesion says how a lesion is laid over its background, not how good the lesion is: through a "
        "narrow seam whatever is drawn comes out high."
    )

    def measure(self, work: Work) -> Result:
        if not keeps_background(work.subject.method):
            return Result()
        drawn, settings = work.drawn, work.settings
        owner = drawn.lesions.patient
        table, scores = fidelity_table(drawn.fidelity, owner, settings), {}
        values = {
            region: fidelity_draws(drawn.fidelity[region], owner, settings) for region in (WHOLE, OUTSIDE, BAND, NEAR)
        }
        null, pasted = (
            {name: float(v[0]) for name, v in fidelity_draws(drawn.fidelity[region], owner, settings).items()}
            for region in (OTHER, PASTED)
        )
        n, images = len(set(owner.tolist())), len(owner)
        asked = {name: (WHOLE, name) for name in ("mse", "ssim", "psnr")}
        asked |= {"psnr_outside": (OUTSIDE, "psnr"), "psnr_band": (BAND, "psnr"), "psnr_near": (NEAR, "psnr")}
        for score, (region, name) in asked.items():
            v = values[region][name]
            reference = pasted[name] if region == WHOLE else float("nan")
            scores[score] = Score(float(v[0]), v[1:], reference, null[name], images, n)
        return Result({self.table: table}, scores)

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        return [_fidelity_section(runs, tables, settings.confidence)]

    def headline(self, run: RunResults) -> dict[str, Any]:
        rows = run.tables[self.table].set_index("region")
        return {
            "run": run.subject.name, "name": self.name, "value": rows.loc[OUTSIDE, "psnr"],
            "low": rows.loc[OUTSIDE, "psnr_low"], "high": rows.loc[OUTSIDE, "psnr_high"],
            "null": rows.loc[OTHER, "psnr"], "text": "PSNR of the background outside the lesion, dB",
        }  # fmt: skip

    def beside(self, number: Mapping[str, Any]) -> str:
        if not math.isfinite(number["null"]):
            return "one background only"
        return f"another background {number['null']:.2f}; high through a narrow seam"

    def fact(self, label: str, number: Mapping[str, Any], interval: str) -> Fact:
        beside = f"{interval} {number['low']:.1f} to {number['high']:.1f}."
        if math.isfinite(number["null"]):  # else there was one background only
            beside += f" Against a background it was not drawn on: {number['null']:.1f}."
        beside += " High through a narrow seam, whatever is drawn."
        return Fact(label=label, value=f"{number['value']:.1f} dB", beside=beside)


def _surrounding(imaging: Imaging) -> str:
    """What lies around a lesion, in one word."""
    return "tissue" if imaging.organ == "body" else imaging.organ


_LANDMARK = (
    " The published rows are other data (NSCLC Radiogenomics), other lesions and other intensities: a landmark, not a "
    "comparison."
)


def _fidelity_section(runs: Sequence[RunResults], tables: Path, confidence: float) -> Section:
    ours = together(runs, "fidelity")
    write_csv(ours, tables / "fidelity.csv")
    published = PUBLISHED.rename(columns={"method": "run"}).assign(region="as published, other data")
    imaging = runs[0].imaging
    shown = pd.concat([ours, published]) if imaging.of_lungs else ours
    write_csv(shown, tables / "fidelity_shown.csv")
    columns = [
        RUN,
        Column(label="Where", value="region"),
        *(
            Column(label=label, value=name, low=f"{name}_low", high=f"{name}_high", format=form)
            for name, label, form in (("mse", "MSE", "small"), ("ssim", "SSIM", ".2f"), ("psnr", "PSNR, dB", ".2f"))
        ),
        Column(label="Patients", value="patients", format="d"),
        Column(label="Images", value="images", format="d"),
    ]
    return Section(
        title=f"Is the surrounding {_surrounding(imaging)} unchanged?",
        text=(
            "Each drawn image against the background it was drawn on, as in table 1 of Xu et al. (2020): intensities "
            f"scaled to 0 to 1 over {imaging.window_text.removeprefix('window ')}. A larger lesion changes more "
            "pixels, so the whole image cannot and should not agree: the patients' own lesions, pasted over the same "
            "backgrounds, show by how much. A "
            "method that scores better than these draws too little. Outside the lesion image and background should "
            "agree; PSNR there says how a lesion is laid over its background, and not how good it is: through a "
            "narrow seam it is high, whatever is drawn."
        ),
        blocks=(
            Table(
                file="fidelity_shown.csv",
                caption=(
                    f"Means over patients, {coverage(confidence)} intervals over patients. Null: the same images "
                    "against a background they were not drawn on. The band across the boundary holds the lesion's "
                    "edge, too. Radius: of the erased sphere, or of the drawn lesion for methods that erase nothing."
                    + (_LANDMARK if imaging.of_lungs else "")
                ),
                columns=tuple(columns),
                strong=("region", WHOLE),
            ),
        ),
    )
