"""The pictures of an evaluation: which patients and backgrounds are shown, and what is written under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.drawing import Drawn
from radiogenesis.evaluation.gene_codes import CodeSpace
from radiogenesis.evaluation.genes.code_space import HELD_OUT
from radiogenesis.evaluation.measures.control import MEAN, TRUTH, Measured
from radiogenesis.evaluation.results import RunResults
from radiogenesis.imaging import Imaging
from radiogenesis.phenotypes.lesion import units
from radiogenesis.reporting import figures
from radiogenesis.reporting.model import Picture
from radiogenesis.reporting.wording import coverage

SHOWN = 7  # patients in a picture, as in figure 3


def spread_patients(cohort: Cohort, patients: Sequence[str], count: int = SHOWN) -> list[str]:
    """Some of the patients, evenly from the smallest to the largest tumor."""
    largest = [float(cohort.slice_mask[cohort.slice_patient == p].sum((1, 2)).max()) for p in patients]
    order = np.argsort(largest, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [patients[order[place]] for place in places]


def largest_slice(cohort: Cohort, patient: str) -> int:
    """Index of the slice that shows most of the patient's tumor."""
    theirs = np.flatnonzero(cohort.slice_patient == patient)
    return int(theirs[cohort.slice_mask[theirs].sum((1, 2)).argmax()])


def cohort_picture(cohort: Cohort, folder: Path) -> Picture:
    """Real slices, the same with their outlines, and backgrounds."""
    patients = [str(p) for p in np.unique(cohort.slice_patient)]
    slices = [largest_slice(cohort, p) for p in spread_patients(cohort, patients)]
    images = [figures.gray(cohort.slice_image[k]) for k in slices]
    rows = [("tumors", images), ("outlined", images)]
    if len(cohort.background_image):
        chosen = np.linspace(0, len(cohort.background_image) - 1, len(slices)).round().astype(int)
        rows.append(("backgrounds", [figures.gray(cohort.background_image[k]) for k in chosen]))
    figures.slice_grid(rows, folder / "cohort.png", contours={1: [cohort.slice_mask[k] for k in slices]})
    return Picture(
        file="cohort.png",
        alt=f"{cohort.imaging.scans} slices with tumors, their outlines, and backgrounds",
        caption=(
            f"The largest slice of {len(slices)} patients from the smallest to the largest tumor, the same with its "
            "outline, and backgrounds that lesions are drawn on. "
            f"{cohort.field_of_view_mm:g} mm wide, {cohort.imaging.window_text}."
        ),
    )


def figure_2(drawn: Drawn, folder: Path, name: str) -> Picture:
    """Background, image, weight map, mask: one row per patient."""
    rows = []
    for number, (patient, examples) in enumerate(drawn.examples.items()):
        k = number % len(examples.image)
        images = [figures.gray(examples.background[k]), figures.gray(examples.image[k])]
        rows.append((patient, [*images, examples.weight[k], examples.mask[k]]))
    file = f"figure2-{name}.png"
    figures.slice_grid(rows[:5], folder / file, columns=("background", "drawn", "weight map", "mask"))
    return Picture(
        file=file,
        alt="Background, drawn image, weight map and mask",
        width=560,
        caption=(
            "As figure 2 of Xu et al. (2020), for held-out patients: the background, the lesion drawn into it from the "
            "patient's genes, where the network took its own features rather than the background's, and the mask it "
            "drew."
        ),
    )


def figure_3(drawn: Drawn, cohort: Cohort, folder: Path, name: str) -> Picture:
    """Own slice, backgrounds, drawings: one column per patient."""
    own, backgrounds, first, second = [], [], [], []
    for number, (patient, examples) in enumerate(drawn.examples.items()):
        k, other = number % len(examples.image), (number + 1) % len(examples.image)
        own.append(figures.gray(cohort.slice_image[largest_slice(cohort, patient)]))
        backgrounds.append(figures.gray(examples.background[k]))
        first.append(figures.gray(examples.image[k]))
        second.append(figures.gray(examples.image[other]))
    file = f"figure3-{name}.png"
    rows = [("own tumor", own), ("background", backgrounds), ("drawn", first), ("drawn on\nanother", second)]
    figures.slice_grid(rows, folder / file, columns=list(drawn.examples))
    return Picture(
        file=file,
        alt="Each patient's own tumor beside lesions drawn from the patient's genes",
        caption=(
            "As figure 3 of Xu et al. (2020), but for patients the network never saw: the patient's own largest slice, "
            "a background from somewhere else, the lesion drawn into it from the patient's genes, and one drawn into "
            "another background."
        ),
    )


def figure_3_methods(runs: Mapping[str, RunResults], cohort: Cohort, folder: Path) -> Picture:
    """Own slice, background, and a row for each method, of which one run is shown: one column per patient."""
    drawn = {label: run.drawn.examples for label, run in runs.items() if run.drawn is not None}
    first = next(iter(drawn.values()))
    # Each patient on another of the backgrounds, the same for every method.
    chosen = {patient: number % len(examples.image) for number, (patient, examples) in enumerate(first.items())}
    own = [figures.gray(cohort.slice_image[largest_slice(cohort, patient)]) for patient in chosen]
    backgrounds = [figures.gray(first[patient].background[k]) for patient, k in chosen.items()]
    rows = [("own tumor", own), ("background", backgrounds)]
    for label, examples in drawn.items():
        images = [figures.gray(examples[patient].image[k]) for patient, k in chosen.items()]
        rows.append((label.replace(" (", "\n(").replace(", ", ",\n"), images))
    figures.slice_grid(rows, folder / "figure3-methods.png", columns=list(first))
    return Picture(
        file="figure3-methods.png",
        alt="Each patient's own tumor, a background, and what each method draws into it",
        caption=(
            "As figure 3 of Xu et al. (2020), a row for each method, but for patients whom no method has seen: "
            "the patient's "
            "own largest slice, a background from somewhere else, and what each method draws into it from the "
            "patient's "
            "genes."
        ),
    )


def figure_4(codes: CodeSpace, cohort: Cohort, folder: Path) -> list[Picture]:
    """t-SNE of every code space in the colors of one space's clusters, and lesions of patients near each center."""
    notes = {
        str(row["space"]): f"ρ = {row['rho']:.2f}".replace("-", "−")
        for row in codes.mantel.to_dict("records")
        if row["part"] == "held out"
    }
    light, dark = figures.save_both(
        lambda theme: figures.code_panels(codes.places, theme, hollow=HELD_OUT, notes=notes), folder, "figure4"
    )
    plot = Picture(
        file=light,
        dark=dark,
        alt="t-SNE of raw genes and of each method's gene codes",
        caption=(
            f"As figure 4 of Xu et al. (2020): t-SNE of the patients' raw genes and of their codes. Colors: "
            f"{len(codes.typical)} clusters of {codes.reference}, fitted on training patients (filled); held-out "
            "patients "
            "(rings) have the color of the nearest center. Corner: Mantel's correlation on held-out patients. t-SNE "
            "shows clusters in anything; whether there are any is in the tables."
        ),
    )
    rows = []
    for cluster, patients in codes.typical.items():
        images = [figures.gray(cohort.slice_image[largest_slice(cohort, patient)]) for patient in patients[:SHOWN]]
        rows.append((f"cluster {cluster + 1}\n{len(patients)} patients", images))
    figures.slice_grid(rows, folder / "figure4-lesions.png", colors=figures.CLUSTERS)
    grid = Picture(
        file="figure4-lesions.png",
        alt="Lesions of the patients nearest to each cluster's center",
        caption=(
            f"The largest slice of up to {SHOWN} training patients nearest to the center of each cluster of "
            f"{codes.reference}: chosen by their genes alone."
        ),
    )
    return [plot, grid]


def curves(metrics: pd.DataFrame, folder: Path, name: str) -> Picture:
    """Everything that training wrote down."""
    light, dark = figures.save_both(lambda theme: figures.training_curves(metrics, theme), folder, f"curves-{name}")
    return Picture(
        file=light,
        dark=dark,
        alt=f"Training curves of {name}",
        caption=f"{name}: loss terms (the generator's weighted) and speed, against the number of images seen.",
    )


def control_bars(table: pd.DataFrame, folder: Path, name: str, reference: str, confidence: float) -> Picture:
    """Rho of every feature beside regression and null."""
    rows = table[table["reference"] == reference]
    slug, of = "truth" if reference == TRUTH else "own", coverage(confidence)
    light, dark = figures.save_both(lambda t: figures.control_bars(rows, t), folder, f"control-{slug}-{name}")
    return Picture(
        file=light,
        dark=dark,
        width=800,
        alt=f"Control against {reference}",
        caption=(
            f"How the ranking of held-out patients by what was drawn agrees with their ranking by "
            f"{'what was planted' if reference == TRUTH else 'their own slices'}. Bars: drawn lesions, with {of} "
            f"intervals over patients. Diamonds: ridge regression from the same genes. Gray: {of} of what "
            "comes out with another patient's genes."
        ),
    )


def _own_scales(imaging: Imaging) -> str:
    """Of which properties what is planted is no such number as what is measured."""
    if imaging.in_hu:
        return (
            f"Planted spiculation and {imaging.name('cavitation')} are on scales of their own (0 to 1; share of the "
            "radius): only the order counts there."
        )
    intensities = f"{imaging.name('attenuation')} and heterogeneity (signal before the scanner)"
    return (
        f"Planted spiculation (0 to 1), {intensities} and {imaging.name('cavitation')} (share of the radius) are on "
        "scales of their own: only the order counts there."
    )


def scatter(measured: Measured, table: pd.DataFrame, folder: Path, name: str) -> Picture:
    """Drawn against planted, or against the own slices where nothing was planted."""
    planted = measured.truth is not None
    x, words = ("truth", "planted") if planted else ("own", "measured on the patient's own slices")
    reference = next(iter(measured.references()))
    rows = table[(table["reference"] == reference) & (table["feature"] != MEAN)].set_index("feature")
    notes = {str(f): f"ρ = {rows.loc[f, 'rho']:.2f}".replace("-", "−") for f in rows.index}
    shown = units(measured.imaging)
    frame = measured.frame()

    def plot(theme: figures.Theme) -> Figure:
        return figures.scatter_by_feature(
            frame, theme, x=x, y="drawn", x_label=words, y_label="drawn", units=shown, notes=notes
        )

    light, dark = figures.save_both(plot, folder, f"scatter-{name}")
    meaning = f" {_own_scales(measured.imaging)}" if planted else ""
    return Picture(
        file=light,
        dark=dark,
        alt="Drawn against " + words,
        caption=(
            "One dot per held-out patient: mean over the lesions drawn from the patient's genes, against what was "
            f"{words}.{meaning}"
        ),
    )


def rank_histogram(ranks: np.ndarray, patients: int, folder: Path, name: str) -> Picture:
    """Ranks of the patients' own genes."""
    light, dark = figures.save_both(lambda t: figures.rank_histogram(ranks, patients, t), folder, f"ranks-{name}")
    return Picture(
        file=light,
        dark=dark,
        width=800,
        alt="Ranks of the patients' own genes",
        caption=(
            f"For each held-out patient, the place of the patient's own genes when the genes of all {patients} are "
            "ordered by their similarity to the patient's lesion. 1 is best; chance is flat."
        ),
    )
