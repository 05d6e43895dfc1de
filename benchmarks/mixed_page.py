"""A page of real and drawn lesions, mixed at random and without labels: which ones can you tell?

    python benchmarks/mixed_page.py PAGE.png RUN [RUN ...] [--lesions 32] [--seed 0]

RUNs draw (`radiogenesis train fusion-gan`), each for its held-out patients, from their own genes and on their own
backgrounds; several runs are folds of one cohort. Half of the lesions are the largest slices of such patients. Every
image is turned or mirrored at random, real ones too. Write your guesses down before you open PAGE.csv, which holds the
answers; `--guesses GUESSES.csv` (columns number, drawn: 1 or 0) prints how many are right, and how often guessing alone
gets as many.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest

from radiogenesis.cohort.store import Cohort
from radiogenesis.pages.evaluation.pictures import largest_slice
from radiogenesis.training.run import Run
from radiogenesis.window import WINDOW_HU

COLUMNS = 8


def real_and_drawn(run: Run, rng: np.random.Generator) -> tuple[list[NDArray[np.float32]], list[str], list[bool]]:
    """Of each held-out patient the largest slice, and one drawing on a background of the patient's own."""
    cohort = Cohort.open(run.config["cohort"])
    images, whose, drawn = [], [], []
    method = run.synthesizer()
    for patient in run.split.test:
        places = np.flatnonzero(cohort.background_patient == patient)
        tumor = np.flatnonzero(cohort.slice_patient == patient)
        if not len(places) or not len(tumor):
            continue
        genes = run.scaler.transform(cohort.expression, [patient])
        under = cohort.background_image[rng.choice(places)][None].astype(np.float32)
        made = method.synthesize(under, genes, seed=int(rng.integers(2**31))).image[0]
        for image, synthetic in ((cohort.slice_image[largest_slice(cohort, patient)], False), (made, True)):
            images.append(np.asarray(image, np.float32))
            whose.append(str(patient))
            drawn.append(synthetic)
    return images, whose, drawn


def chosen(drawn: list[bool], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """As many drawn as real, in random order."""
    halves = [np.flatnonzero(np.array(drawn) == kind) for kind in (False, True)]
    take = min(count // 2, *map(len, halves))
    return rng.permutation(np.concatenate([rng.choice(half, take, replace=False) for half in halves]))


def page(images: list[NDArray[np.float32]], path: Path) -> None:
    """The images with their numbers, as a radiologist's lung window shows them."""
    rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * 1.5, rows * 1.68), facecolor="white")
    low, high = WINDOW_HU
    for number, image in enumerate(images):
        axes = figure.add_subplot(rows, COLUMNS, number + 1)
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
        axes.set_title(str(number + 1), fontsize=8, pad=2)
        axes.axis("off")
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.97, 0.04, 0.12)
    figure.savefig(path, dpi=130)


def judged(answers: Path, guesses: Path) -> None:
    """How many guesses are right, beside chance."""
    table = pd.read_csv(answers).merge(pd.read_csv(guesses), on="number", suffixes=("", " guessed"))
    right = int((table["drawn"].astype(bool) == table["drawn guessed"].astype(bool)).sum())
    test = binomtest(right, len(table), alternative="greater")
    print(f"{right} of {len(table)} right ({right / len(table):.0%}), by guessing alone: p {test.pvalue:.3f}; wrong:")
    print(table[table["drawn"].astype(bool) != table["drawn guessed"].astype(bool)].to_string(index=False))


def main() -> None:
    """Parse, draw, write the page and its answers; or judge guesses."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("page", type=Path)
    options.add_argument("runs", type=Path, nargs="*")
    options.add_argument("--lesions", type=int, default=32)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--guesses", type=Path)
    given = options.parse_args()
    answers = given.page.with_suffix(".csv")
    if given.guesses:
        judged(answers, given.guesses)
        return
    rng = np.random.default_rng(given.seed)
    images: list[NDArray[np.float32]] = []
    whose: list[str] = []
    drawn: list[bool] = []
    for path in given.runs:
        for all_of, some in zip((images, whose, drawn), real_and_drawn(Run.open(path), rng), strict=True):
            all_of.extend(some)  # type: ignore[arg-type]
    order = chosen(drawn, given.lesions, rng)
    turned = [np.rot90(images[k], rng.integers(4)) for k in order]
    page([one[:, ::-1] if rng.integers(2) else one for one in turned], given.page)
    rows = [{"number": n + 1, "drawn": int(drawn[k]), "patient": whose[k]} for n, k in enumerate(order)]
    pd.DataFrame(rows).to_csv(answers, index=False)
    print(f"{given.page}: {len(order)} lesions; the answers are in {answers}")


if __name__ == "__main__":
    main()
