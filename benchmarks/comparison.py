"""Table 1 and figures 3 and 4 of Xu et al. (2020) with error bars: every method, the same patients, the same work.

    python benchmarks/comparison.py phantom OUT [--steps 800] [--seeds 3]   the phantom with its default 130 patients
    python benchmarks/comparison.py planted OUT                             lesions in real lungs (../shared/data)
    python benchmarks/comparison.py pairs OUT                               the 62 real pairs of CT and RNA
    python benchmarks/comparison.py phantom OUT --search                    each baseline at three learning rates
    python benchmarks/comparison.py phantom OUT --rate mc-gan=6e-4          the comparison at the rate that was found
    python benchmarks/comparison.py phantom OUT --wide                      and the methods at their published width
    python benchmarks/comparison.py phantom OUT --ablations                 what each part of the fusion GAN is worth
    python benchmarks/comparison.py phantom OUT --only mc-gan-additions     this row only; what is trained is evaluated

Beside the fusion GAN and the baselines stand two rows that say what is worth what: `mc-gan-additions`, MC-GAN with what
the fusion GAN has beyond its paper (the rest between the two is the architecture), and `fusion-gan-paper`, the fusion
GAN without it. Every run sees steps x 32 images of the same training patients. What is already trained in OUT is kept,
so a stopped benchmark goes on, and the forms may share one OUT. The made cohorts have --cohort_seed 1: the fusion GAN's
settings were chosen on those of seed 0, on which it would be judged by what it was fitted to.

Cross-validation: three folds of `planted`, each of which leaves one of the three scans out (its lesions are judged in
lungs that nobody was trained on), and five of `pairs`, over patients. Every fold is evaluated by itself in
OUT/comparison/fold-0 and so on; OUT/comparison/pooled.csv has the mean over the folds, and each fold's value.
`--folds 0` holds out a quarter of the patients instead.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from radiogenesis.cli.demo import AT_THE_EDGE
from radiogenesis.cohort.store import Cohort
from spine import DATA, TABLE, run, unpacked

METHODS = ("fusion-gan", "mc-gan", "inpainting-gan")
PUBLISHED_RATE = "2e-4"
RATES = (PUBLISHED_RATE, "6e-4", "2e-3")
"""From the published one to that of the fusion GAN's generator: runs are short here, and short runs want large ones."""
WIDE = ("--width", "64", "--discriminator_width", "64")
"""Of both baselines as published (METHODS.md section 2); by default they are as wide as the fusion GAN here."""
FOLDS = {"phantom": 0, "planted": 3, "pairs": 5}
SPLIT_BY = {"planted": ("--split_by", "series_uid")}
"""Of the planted cohort one scan is left out."""
PAPER = ("--preset", "paper", "--epochs", "0", "--batch", "32")
"""The fusion GAN as published, at as many images as the others."""

ABLATIONS: dict[str, tuple[str, ...]] = {
    "full": (),
    "no genes": ("--use_genes", "false", "--matching", "0"),
    "genes only at the start": ("--adain", "false"),
    "no weight map": ("--weight_map", "false", "--lambda_weight_map", "0"),
    "no mask output": ("--mask_output", "false", "--compose", "false", "--lambda_weight_map", "0"),
    "no mismatched negatives": ("--mismatched", "false"),
    "no background loss": ("--lambda_background", "0"),
    "no matching": ("--matching", "0"),
    "no energy": ("--energy", "0"),
    "no limit on the critic": ("--pull", "0"),
    "phi(g) for the aligned code": ("--gene_code", "mapping"),
    "phi(g), no gene dropout": ("--gene_code", "mapping", "--gene_dropout", "0"),
    "phi(g), D reads the generator's": ("--gene_code", "mapping", "--own_mapping", "false"),
    "weight map before AdaIN only": ("--outer_weight", "false"),
    "weight map not guided": ("--lambda_weight_map", "0"),
    "weight map begins undecided": ("--decided_weight_map", "false"),
    "drawn image, not a change of the background": ("--fill", "false", "--residual", "false"),
    "a change of the background, not air filled": ("--fill", "false"),
    "not composed": ("--compose", "false"),
    "over the chest wall too": ("--stay_in_lung", "false"),
    "no spatial noise": ("--spatial_noise", "false"),
    "mask from anywhere": ("--central_mask", "false"),
    "batch norm in D": ("--discriminator_norm", "batch"),
    "slices of any area": ("--least_area", "0"),
    "calibrated: what the others predict": ("--calibrated", "true"),
    "constant learning rate": ("--learning_rate_schedule", "constant"),
    "the paper's learning rates": ("--learning_rate", "2e-4", "--discriminator_learning_rate", "2e-4"),
    "paper": (*PAPER, "--width", "16"),
}
"""Name -> settings of fusion-gan that take the part away."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: of its runs, and what --only calls it.
        method: what `train` calls it.
        words: its settings.
        alignment: "own": it builds on the canonical alignment; "null": on one fitted to shuffled genes.
        closed: fitted in closed form, without steps.
    """

    name: str
    method: str
    words: tuple[str, ...] = ()
    alignment: str = ""
    closed: bool = False


@dataclass(frozen=True)
class Part:
    """Whom runs hold out.

    Attributes:
        name: "" where there is one split, else the fold.
        words: settings of the training.
        suffix: of the runs' names.
    """

    name: str = ""
    words: tuple[str, ...] = ()
    suffix: str = ""


def parts(kind: str, folds: int) -> list[Part]:
    """One split, or every fold; nobody is kept for validation there, since nothing is chosen."""
    if not folds:
        return [Part()]
    words = ("--folds", str(folds), "--validation", "0", *SPLIT_BY.get(kind, ()))
    return [Part(f"fold-{k}", (*words, "--fold", str(k)), f"-fold{k}of{folds}") for k in range(folds)]


def train(method: str, out: Path, name: str, steps: int, seed: int, *words: str) -> Path:
    """One run in OUT/runs, unless it is there already; gone on with where it was stopped. 0 steps: in closed form."""
    path = out / "runs" / f"{name.replace(' ', '-')}-{seed}"
    if not (path / "weights.safetensors").is_file():
        resume = ["--resume"] if (path / "checkpoints" / "last.ckpt").is_file() else []
        if path.is_dir() and not resume:
            shutil.rmtree(path)  # stopped before its first checkpoint: it holds nothing
        length = ("--steps", str(steps)) if steps else ()
        run("train", method, out / "cohort.zarr", path, *length, "--seed", str(seed), *words, *resume)
    return path


def alignment(out: Path, *words: str, name: str = "alignment", seed: int = 0) -> Path:
    """The canonical alignment, fitted once for all runs."""
    path = out / name
    if not (path / "weights.safetensors").is_file():
        shutil.rmtree(path, ignore_errors=True)  # stopped while it was fitted
        run("train", "canonical-alignment", out / "cohort.zarr", path, "--seed", str(seed), *words)
    return path


def trained(row: Row, part: Part, out: Path, steps: int, seed: int) -> Path:
    """One run of a row."""
    words = (*row.words, *part.words)
    if row.alignment == "own":
        words += ("--alignment", str(alignment(out, *part.words, name=f"alignment{part.suffix}")))
    elif row.alignment == "null":
        shuffled = ("--shuffle_genes", "true", *part.words)
        null = alignment(out, *shuffled, name=f"null-alignment-{seed}{part.suffix}", seed=seed)
        words += ("--alignment", str(null))
    return train(row.method, out, row.name + part.suffix, 0 if row.closed else steps, seed, *words)


def made_cohort(kind: str, out: Path, seed: int) -> None:
    """OUT/cohort.zarr, unless it is there already; `seed` has no meaning for the real pairs."""
    path = out / "cohort.zarr"
    if kind == "pairs":
        from real_pairs import made_cohort as made_pairs  # which imports this file

        made_pairs(out)
    elif path.exists():
        before = Cohort.open(path).settings["sampling"]["seed"]
        if before != seed:
            sys.exit(f"{path}: was made with --cohort_seed {before}, not {seed}; give that, or another folder")
    elif kind == "phantom":
        run("cohort", "phantom", path, "--seed", str(seed), "--at_the_edge", str(AT_THE_EDGE))
    else:
        words = ("--orientation", "genes-in-rows", "--seed", str(seed))
        run("cohort", "plant", unpacked(out), DATA / TABLE, path, *words)


def refuse_other_work(out: Path, form: str, steps: int) -> None:
    """Before anything is trained: an evaluation that is there already, and runs that saw another number of images."""
    if (out / form).exists():
        sys.exit(f"{out / form}: already exists; delete it, or give another folder")
    for config in sorted((out / "runs").glob("*/config.yaml")):
        before = yaml.safe_load(config.read_text(encoding="utf-8"))["steps"]
        if before not in (0, steps):
            sys.exit(f"{config.parent}: was trained for {before} steps, not {steps}; give --steps {before}")


def rates(words: list[str]) -> dict[str, str]:
    """["mc-gan=4e-4"] -> {"mc-gan": "4e-4"}."""
    found = {}
    for word in words:
        method, _, rate = word.partition("=")
        try:
            valid = method in METHODS[1:] and float(rate) > 0
        except ValueError:
            valid = False
        if not valid:
            sys.exit(f"--rate {word}: must be METHOD=RATE, METHOD one of {', '.join(METHODS[1:])}")
        found[method] = rate
    return found


def baseline(method: str, rate: str, *, wide: bool = False) -> Row:
    """A baseline at a rate; the search and the comparison share the runs of one rate."""
    name = method if float(rate) == float(PUBLISHED_RATE) else f"{method}-{rate}"
    words = ("--learning_rate", rate, "--discriminator_learning_rate", rate, *(WIDE if wide else ()))
    return Row(f"{name}-wide" if wide else name, method, words)


def searched() -> list[Row]:
    """Each baseline at each rate."""
    return [baseline(method, rate) for method in METHODS[1:] for rate in RATES]


def ablated() -> list[Row]:
    """The fusion GAN without each of its parts, and without the link between genes and lesions."""
    found = [
        Row("fusion-gan" if name == "full" else name, "fusion-gan", taken, "own") for name, taken in ABLATIONS.items()
    ]
    return [*found, Row("shuffled genes", "fusion-gan", ("--shuffle_genes", "true"), "null")]


def compared(chosen: dict[str, str], *, wide: bool = False) -> list[Row]:
    """Every method, also the one without a network; and those of other widths at their published one, too."""
    found = [
        Row("fusion-gan", "fusion-gan", alignment="own"),
        Row("fusion-gan-paper", "fusion-gan", ABLATIONS["paper"]),
        Row("nearest-lesion", "nearest-lesion", closed=True),
        *(baseline(method, chosen.get(method, PUBLISHED_RATE)) for method in METHODS[1:]),
        Row("mc-gan-additions", "mc-gan", ("--preset", "additions"), "own"),
    ]
    if wide:
        found.append(Row("fusion-gan-paper-wide", "fusion-gan", PAPER))
        found += [baseline(method, chosen.get(method, PUBLISHED_RATE), wide=True) for method in METHODS[1:]]
    return found


def asked_for(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    """The rows that --only names, all of them without it."""
    unknown = sorted(set(only) - {row.name for row in rows})
    if unknown:
        sys.exit(f"--only {', '.join(unknown)}: choose from {', '.join(row.name for row in rows)}")
    return [row for row in rows if not only or row.name in only]


def pooled(folder: Path, folds: Sequence[Part]) -> pd.DataFrame:
    """Every measure of every row of the folds' evaluations: its mean over the folds, and each fold's value."""
    found = []
    for part in folds:
        place = folder / part.name
        summary = json.loads((place / "evaluation.json").read_text(encoding="utf-8"))
        names = {one["method"]: one["runs"][0].partition(part.suffix)[0] for one in summary["methods"]}
        table = pd.read_csv(place / "tables" / "comparison.csv").set_index("method")
        measures = [name for name in table if f"{name}_low" in table]
        tidy = table[measures].rename(index=names).rename_axis("row").melt(ignore_index=False, var_name="measure")
        found.append(tidy.set_index("measure", append=True)["value"].rename(part.name))
    values = pd.concat(found, axis=1)
    values.insert(0, "mean", values.mean(axis=1, skipna=False))
    return values.reset_index()


def evaluated(rows: Sequence[Row], seeds: int, folds: Sequence[Part], out: Path, folder: Path, words: tuple) -> None:
    """What is trained of the rows, whichever of them this call trained: one evaluation for each part."""
    for part in folds:
        names = [f"{row.name.replace(' ', '-')}{part.suffix}-{seed}" for seed in range(seeds) for row in rows]
        runs = [out / "runs" / name for name in names if (out / "runs" / name / "weights.safetensors").is_file()]
        place = folder / part.name
        place.parent.mkdir(exist_ok=True)
        run("evaluate", *runs, place, *words)
        run("report", place)
    if len(folds) > 1:
        table = pooled(folder, folds)
        table.to_csv(folder / "pooled.csv", index=False)
        print(table.round(3).to_string(index=False))


def main() -> None:
    """Parse, train what is missing, evaluate all of it together."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", choices=FOLDS)
    options.add_argument("out", type=Path)
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--folds", type=int, help="of the cross-validation; by default as said above, 0 for none")
    options.add_argument("--cohort_seed", type=int, default=1, help="of the cohort, where it is made")
    options.add_argument("--rate", action="append", default=[], metavar="METHOD=RATE", help="of a baseline, both Adams")
    options.add_argument("--only", nargs="+", default=[], metavar="ROW", help="train these rows only")
    options.add_argument("--segmentation_steps", type=int, default=300, help="of `evaluate`; 0 leaves usefulness out")
    forms = options.add_mutually_exclusive_group()
    for form in ("search", "ablations", "wide"):
        forms.add_argument(f"--{form}", action="store_const", const=form, dest="form", default="comparison")
    given = options.parse_args()
    out: Path = given.out
    chosen = rates(given.rate)
    if chosen and given.form not in ("comparison", "wide"):
        sys.exit(f"--rate has no meaning with --{given.form}")
    table = {"search": searched(), "ablations": ablated()}.get(given.form) or compared(
        chosen, wide=given.form == "wide"
    )
    wanted = asked_for(table, given.only)
    folds = parts(given.cohort, FOLDS[given.cohort] if given.folds is None else given.folds)
    refuse_other_work(out, given.form, given.steps)
    out.mkdir(parents=True, exist_ok=True)
    made_cohort(given.cohort, out, given.cohort_seed)
    for seed in range(given.seeds):
        for part in folds:
            for row in wanted:
                trained(row, part, out, given.steps, seed)
    words = ("--segmentation_steps", str(given.segmentation_steps))
    evaluated(table, given.seeds, folds, out, out / given.form, words)


if __name__ == "__main__":
    main()
