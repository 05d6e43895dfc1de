"""The 62 real pairs of CT and RNA (../shared/data/pairs), end to end, every figure on patients left out.

    python benchmarks/real_pairs.py OUT [--steps 800] [--permutations 1000] [--only PART ...]

Makes NIfTI, builds the cohort, and answers in turn:

- backgrounds: does every patient's background lie inside the body, by a rule that the lung mask does not use?
- alignment: what do genes predict of a lesion? Repeated 10-fold cross-validation over patients, of the properties by
  the canonical alignment, by its directions alone, and by plain ridge regression on the measured values; p from
  permuted patients, everything fitted again in each.
- drawings: five folds; the fusion GAN is trained without each fold, and again with shuffled genes, and lesions drawn
  from the genes of the patients left out are compared with these patients' own.
- picture: OUT/drawings.png, the README's: patients that the first fold left out, their own tumors, and lesions drawn
  from their genes on backgrounds of such patients.
- maps: the conventional map, and beside it the map by synthesis of the first fold's run, as `radiogenesis map` writes
  them.
- halves: the patients in two cohorts of 31, the links of either looked for in the other. Only where it is asked for.

Everything is kept in OUT, so that a stopped benchmark goes on. About 90 minutes on two cores, nearly all of it the ten
trainings; `--only backgrounds alignment` takes three minutes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr

from comparison import alignment, train
from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.properties import measure, own_features
from radiogenesis.evaluation.measures.control import shared_backgrounds
from radiogenesis.mapping.synthesis.perturbation_null import lesions_of
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.canonical_fit import (
    GeneSide,
    LesionSide,
    Search,
    directions,
    divided,
    exceeded,
    predicting_from,
)
from radiogenesis.pages.evaluation.pictures import largest_slice, spread_patients
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.reporting.figures import gray, slice_grid
from radiogenesis.stats.resampling import interval, nanmean, resamples, spearman
from radiogenesis.training.run import Run
from spine import DATA, TABLE, run

FOLDS, IMAGES = 5, 16
Values = NDArray[np.float64]


def made_cohort(out: Path) -> Cohort:
    """OUT/cohort.zarr, unless it is there already."""
    path = out / "cohort.zarr"
    if not path.exists():
        subprocess.run([sys.executable, str(DATA / "pairs" / "make_nifti.py"), str(out / "raw")], check=True)
        subprocess.run([sys.executable, str(DATA / "unpack.py"), str(out / "unpacked")], check=True)
        build(out, out / "raw", path)
    return Cohort.open(path)


def build(out: Path, raw: Path, path: Path) -> None:
    """A cohort of the scans in `raw`, with all tables."""
    clinical = next((DATA / "clinical").glob("NSCLCR01*.csv"))
    tables = ("--expression", DATA / TABLE, "--orientation", "genes-in-rows", "--clinical", clinical)
    run("cohort", "build", raw, path, *tables, "--annotations", out / "unpacked" / "annotations")


def backgrounds(cohort: Cohort, raw: Path) -> None:
    """How many patients' background centers lie in the body: the largest piece of tissue, filled slice by slice; and
    how many background slices show air in their middle."""
    inside = []
    for patient in cohort.patients.index:
        image = nib.load(raw / patient / "image.nii.gz")
        hu = np.asarray(image.dataobj).transpose(2, 1, 0)
        labels, _ = ndimage.label(ndimage.binary_opening(hu > -400, np.ones((1, 5, 5))))
        body = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
        body = np.stack([ndimage.binary_fill_holes(plane) for plane in body])
        centers = np.unique(cohort.background_center_mm[cohort.background_patient == patient], axis=0)
        ras = centers * [-1, -1, 1]
        voxels = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), ras)).astype(int)
        inside.append(bool(all(body[z, y, x] for x, y, z in voxels)))
    outside = [str(name) for name, good in zip(cohort.patients.index, inside, strict=True) if not good]
    missed = f": not {', '.join(outside)}" if outside else ""
    air = np.median(cohort.background_image[:, 28:36, 28:36], axis=(1, 2)) < -500
    print(f"\nbackgrounds inside the body: {sum(inside)} of {len(inside)} patients{missed}; "
          f"aerated in the middle: {air.mean():.1%} of {len(air)} slices")  # fmt: skip


Predict = Callable[[NDArray[np.intp], NDArray[np.intp], LesionSide, GeneSide], Values]


def by_properties(part: NDArray[np.intp], others: NDArray[np.intp], lesions: LesionSide, genes: GeneSide) -> Values:
    """The alignment's first axes: a ridge regression of each property's normal scores."""
    return predicting_from(genes.kernel, genes.ridge, part, others) @ lesions.scores[others]


def by_directions(part: NDArray[np.intp], others: NDArray[np.intp], lesions: LesionSide, genes: GeneSide) -> Values:
    """Canonical directions found on the others, four at most; each property is regressed on them there."""
    inner = GeneSide.of(genes.centered[others], genes.ridge, 0)
    rest = lesions.rest[others] - lesions.rest[others].mean(axis=0)
    search = Search((slice(0, rest.shape[1]),), np.array([[0.0, 1.0]]))
    z = rest @ directions(rest, inner.predicting, search, 4)
    slopes = np.linalg.lstsq(z, lesions.scores[others], rcond=None)[0]
    return predicting_from(genes.kernel, genes.ridge, part, others) @ z @ slopes


def cross_validated(
    predict: Predict, lesions: LesionSide, genes: GeneSide, own: Values, repeats: int, seed: int
) -> Values:
    """(P,) Spearman's rho over all patients, each predicted from the other nine parts; the mean over `repeats`."""
    found = []
    for number in range(repeats):
        predicted = np.zeros(own.shape)
        for part, others in divided(len(own), np.random.default_rng([seed, number])):
            predicted[part] = predict(part, others, lesions, genes)
        found.append([spearmanr(predicted[:, j], own[:, j]).statistic for j in range(own.shape[1])])
    return np.mean(found, axis=0)


def align(cohort: Cohort, repeats: int, permutations: int) -> None:
    """What genes predict of each property of patients left out, three ways."""
    patients = [str(name) for name in cohort.patients.index]
    own = own_features(cohort, patients)
    scaler = ExpressionScaler.fit(cohort.expression, patients)
    expression = scaler.transform(cohort.expression, patients).astype(np.float64)
    named = CanonicalAlignment(CanonicalAlignmentSettings(), genes=expression.shape[1])
    alone = CanonicalAlignment(CanonicalAlignmentSettings(properties=False), genes=expression.shape[1])
    side = named.gene_side(expression)
    of_named, of_alone = (lesions_of(one, cohort, patients, least_area=0.5) for one in (named, alone))
    of_alone = LesionSide(**{**vars(of_alone), "scores": of_named.scores})
    measured = LesionSide(**{**vars(of_named), "scores": (own - own.mean(0)) / own.std(0)})
    ways: dict[str, tuple[Predict, LesionSide]] = {
        "canonical alignment, properties first": (by_properties, of_named),
        "canonical directions alone": (by_directions, of_alone),
        "ridge regression on the measured values": (by_properties, measured),
    }
    rows = []
    for name, (predict, lesions) in ways.items():
        rho = cross_validated(predict, lesions, side, own, repeats, 0)
        null = []
        for number in range(permutations):
            order = np.random.default_rng([1, number]).permutation(len(own))
            null.append(cross_validated(predict, lesions.given_to(order), side, own[order], 1, number))
        p = [exceeded(rho[j], np.array(null)[:, j]) for j in range(len(rho))]
        high = np.quantile(null, 0.95, axis=0)
        rows += [
            {"genes to lesion by": name, "property": FEATURES[j], "rho": rho[j], "null, 95 %": high[j], "p": p[j]}
            for j in range(len(rho))
        ]
    print(f"\n{len(own)} patients, {expression.shape[1]} genes; {repeats} x 10 folds, {permutations} permutations")
    print(pd.DataFrame(rows).round(3).to_string(index=False))


def draw(cohort: Cohort, out: Path, steps: int) -> None:
    """Lesions drawn from the genes of the patients left out, beside their own; and with shuffled genes."""
    rows, tables = [], {}
    for name, words in (("own genes", ()), ("shuffled genes", ("--shuffle_genes", "true"))):
        parts = [folds_run(out, steps, fold, name, *words) for fold in range(FOLDS)]
        drawn = pd.concat([drawn_features(cohort, Run.open(path)) for path in parts]).sort_index()
        drawn.to_csv(out / f"drawn, {name}.csv")
        tables[name] = drawn
    for name, drawn in tables.items():
        own = own_features(cohort, list(drawn.index))
        draws = resamples(len(own), 2000, [0, 7])
        for j, feature in enumerate(FEATURES):
            rho = [float(spearman(drawn.to_numpy()[i, j], own[i, j])) for i in draws]
            null = [spearman(drawn.to_numpy()[:, j], own[np.random.default_rng(i).permutation(len(own)), j])
                    for i in range(2000)]  # fmt: skip
            value = float(spearman(drawn.to_numpy()[:, j], own[:, j]))
            low, high = interval(np.array(rho))
            rows.append({"trained with": name, "property": feature, "rho": value, "low": low, "high": high,
                         "p": exceeded(value, null)})  # fmt: skip
    print(f"\ndrawn for {len(own)} patients left out ({FOLDS} folds, {IMAGES} drawings each, {steps} steps), "
          "against their own lesions")  # fmt: skip
    print(pd.DataFrame(rows).round(3).to_string(index=False))


def folds_run(out: Path, steps: int, fold: int, name: str, *words: str) -> Path:
    """A run that leaves a fold out, from the alignment to the fusion GAN."""
    split = ("--folds", str(FOLDS), "--fold", str(fold), "--validation", "0")
    kind = name.split()[0]
    aligned = alignment(out, *split, *words, name=f"alignment-{kind}-{fold}", seed=0)
    return train("fusion-gan", out, f"{kind}-{fold}", steps, 0, "--alignment", str(aligned), *split, *words)


def drawn_features(cohort: Cohort, trained: Run) -> pd.DataFrame:
    """Mean properties of the lesions drawn for each patient left out, on the same backgrounds of such patients."""
    index, _ = shared_backgrounds(cohort, trained.split, IMAGES, 0)
    places = cohort.background_image[index].astype(np.float32)
    method, rows = trained.synthesizer(), []
    for g in trained.scaler.transform(cohort.expression, list(trained.split.test)):
        drawn = method.synthesize(places, np.repeat(g[None], len(places), axis=0), seed=0)
        rows.append(nanmean(measure(drawn.image, drawn.mask, cohort.pixel_mm), axis=0))
    return pd.DataFrame(np.array(rows), pd.Index(trained.split.test, name="patient"), list(FEATURES))


def picture(cohort: Cohort, trained: Run, path: Path) -> None:
    """Patients left out, from the smallest to the largest tumor: their own, and lesions drawn from their genes."""
    patients = spread_patients(cohort, list(trained.split.test))
    index, _ = shared_backgrounds(cohort, trained.split, 2 * len(patients), 0)
    under = cohort.background_image[index].astype(np.float32)
    genes = trained.scaler.transform(cohort.expression, patients)
    drawn = trained.synthesizer().synthesize(under, np.concatenate([genes, genes]), seed=0).image
    own = [cohort.slice_image[largest_slice(cohort, patient)] for patient in patients]
    n = len(patients)
    rows = [("own tumor", own), ("background", under[:n]), ("drawn", drawn[:n]), ("drawn on\nanother", drawn[n:])]
    slice_grid([(label, [gray(image) for image in images]) for label, images in rows], path, columns=patients)


def maps(out: Path) -> None:
    """Both maps, side by side."""
    first, null = (out / "runs" / f"{kind}-0-0" for kind in ("own", "shuffled"))
    gmt = DATA / "genesets" / "h.all.v7.0.symbols.gmt"
    if not (out / "map").exists():
        run("map", out / "cohort.zarr", out / "map", "--radiomics", "ibsi", "--gmt", gmt,
            "--run", first, "--null_run", null)  # fmt: skip
        run("report", out / "map")
    with pd.option_context("display.width", 220, "display.max_columns", 30, "display.max_colwidth", 50):
        for name in ("links", "synthesis_links"):
            table = pd.read_csv(out / "map" / "tables" / f"{name}.csv")
            print(f"\n{name}, by verdict: {table['verdict'].value_counts().to_dict()}")
            print(table[table["verdict"] != "not found"].head(40).round(3).to_string(index=False))


def halves(out: Path) -> None:
    """Two cohorts of half the patients each, drawn by lot; the map of either, replicated in the other."""
    names = sorted(folder.name for folder in (out / "raw").iterdir())
    order = np.random.default_rng(18).permutation(len(names))
    cohorts = {half: out / f"half-{half}.zarr" for half in "ab"}
    for half, part in zip("ab", (order[::2], order[1::2]), strict=True):
        for name in (names[i] for i in part):
            shutil.copytree(out / "raw" / name, out / f"raw-{half}" / name, dirs_exist_ok=True)
        if not cohorts[half].exists():
            build(out, out / f"raw-{half}", cohorts[half])
    for one, other in ("ab", "ba"):
        found = out / f"map-{one}{other}"
        if not found.exists():
            run("map", cohorts[one], found, "--replicate", cohorts[other], "--radiomics", "ibsi",
                "--prediction_folds", "0", "--shuffles", "5", "--permutations", "500")  # fmt: skip
            run("report", found)
        print(pd.read_csv(found / "tables" / "replication.csv").round(3).to_string(index=False))


def main() -> None:
    """Parse, and answer what is asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--repeats", type=int, default=10, help="divisions into ten folds")
    options.add_argument("--permutations", type=int, default=1000)
    parts = ("backgrounds", "alignment", "drawings", "picture", "maps")
    options.add_argument("--only", nargs="+", choices=(*parts, "halves"), default=parts)
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    cohort = made_cohort(out)
    if "backgrounds" in given.only:
        backgrounds(cohort, out / "raw")
    if "alignment" in given.only:
        align(cohort, given.repeats, given.permutations)
    if "drawings" in given.only:
        draw(cohort, out, given.steps)
    if "picture" in given.only:
        picture(cohort, Run.open(folds_run(out, given.steps, 0, "own genes")), out / "drawings.png")
    if "maps" in given.only:
        maps(out)
    if "halves" in given.only:
        halves(out)


if __name__ == "__main__":
    main()
