"""Table 1 and figures 3 and 4 of Xu et al. (2020) with error bars: every method, the same patients, the same work.

    python benchmarks/comparison.py phantom OUT [--steps 800] [--seeds 3]   the phantom with its default 130 patients
    python benchmarks/comparison.py planted OUT                             lesions in real lungs (../shared/data)
    python benchmarks/comparison.py phantom OUT --search                    each baseline at three learning rates
    python benchmarks/comparison.py phantom OUT --rate mc-gan=6e-4          the comparison at the rate that was found
    python benchmarks/comparison.py phantom OUT --wide                      and the baselines at their published width
    python benchmarks/comparison.py phantom OUT --ablations                 what each part of the fusion GAN is worth

Every run sees steps x 32 images of the same training patients. What is already trained in OUT is kept, so a stopped
benchmark goes on, and the four forms may share one OUT. The cohorts are made with --cohort_seed 1: the fusion GAN's
settings were chosen on those of seed 0, on which it would be judged by what it was fitted to.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import yaml

from radiogenesis.cohort.store import Cohort
from spine import DATA, TABLE, run, unpacked

METHODS = ("fusion-gan", "mc-gan", "inpainting-gan")
PUBLISHED_RATE = "2e-4"
RATES = (PUBLISHED_RATE, "6e-4", "2e-3")
"""From the published one to that of the fusion GAN's generator: runs are short here, and short runs want large ones."""
WIDE = ("--width", "64", "--discriminator_width", "64")
"""Of both baselines as published (METHODS.md section 2); by default they are as wide as the fusion GAN here."""

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
    "calibrated: what the others foretell": ("--calibrated", "true"),
    "constant learning rate": ("--learning_rate_schedule", "constant"),
    "the paper's learning rates": ("--learning_rate", "2e-4", "--discriminator_learning_rate", "2e-4"),
    "paper": ("--preset", "paper", "--epochs", "0", "--batch", "32", "--width", "16"),
}
"""Name -> settings of fusion-gan that take the part away."""


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


def made_cohort(kind: str, out: Path, seed: int) -> None:
    """OUT/cohort.zarr, unless it is there already."""
    path = out / "cohort.zarr"
    if path.exists():
        before = Cohort.open(path).settings["sampling"]["seed"]
        if before != seed:
            sys.exit(f"{path}: was made with --cohort_seed {before}, not {seed}; give that, or another folder")
    elif kind == "phantom":
        run("cohort", "phantom", path, "--seed", str(seed))
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


def baseline(method: str, rate: str, out: Path, steps: int, seed: int, *, wide: bool = False) -> Path:
    """One run of a baseline; the search and the comparison share those of one rate."""
    name = method if float(rate) == float(PUBLISHED_RATE) else f"{method}-{rate}"
    words = ("--learning_rate", rate, "--discriminator_learning_rate", rate, *(WIDE if wide else ()))
    return train(method, out, f"{name}-wide" if wide else name, steps, seed, *words)


def searched(out: Path, steps: int, seed: int) -> list[Path]:
    """Each baseline at each rate."""
    return [baseline(method, rate, out, steps, seed) for method in METHODS[1:] for rate in RATES]


def ablated(out: Path, steps: int, seed: int) -> list[Path]:
    """The fusion GAN without each of its parts, and without the link between genes and lesions."""
    words = ("--alignment", str(alignment(out)))
    runs = [
        train("fusion-gan", out, "fusion-gan" if name == "full" else name, steps, seed, *words, *taken)
        for name, taken in ABLATIONS.items()
    ]
    null = alignment(out, "--shuffle_genes", "true", name=f"null-alignment-{seed}", seed=seed)
    words = ("--alignment", str(null), "--shuffle_genes", "true")
    return [*runs, train("fusion-gan", out, "shuffled genes", steps, seed, *words)]


def compared(out: Path, steps: int, seed: int, chosen: dict[str, str], *, wide: bool) -> list[Path]:
    """Every method, the rival without a network among them; and the baselines at their published width, too."""
    runs = [train("fusion-gan", out, "fusion-gan", steps, seed, "--alignment", str(alignment(out)))]
    runs.append(train("nearest-lesion", out, "nearest-lesion", 0, seed))
    for method in METHODS[1:]:
        for width in (False, True) if wide else (False,):
            runs.append(baseline(method, chosen.get(method, PUBLISHED_RATE), out, steps, seed, wide=width))
    return runs


def main() -> None:
    """Parse, train what is missing, evaluate all of it together."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", choices=("phantom", "planted"))
    options.add_argument("out", type=Path)
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--cohort_seed", type=int, default=1, help="of the cohort")
    options.add_argument("--rate", action="append", default=[], metavar="METHOD=RATE", help="of a baseline, both Adams")
    options.add_argument("--segmentation_steps", type=int, default=300, help="of `evaluate`; 0 leaves usefulness out")
    forms = options.add_mutually_exclusive_group()
    for form in ("search", "ablations", "wide"):
        forms.add_argument(f"--{form}", action="store_const", const=form, dest="form", default="comparison")
    given = options.parse_args()
    out: Path = given.out
    chosen = rates(given.rate)
    if chosen and given.form not in ("comparison", "wide"):
        sys.exit(f"--rate has no meaning with --{given.form}")
    refuse_other_work(out, given.form, given.steps)
    out.mkdir(parents=True, exist_ok=True)
    made_cohort(given.cohort, out, given.cohort_seed)
    runs: list[Path] = []
    for seed in range(given.seeds):
        if given.form == "search":
            runs += searched(out, given.steps, seed)
        elif given.form == "ablations":
            runs += ablated(out, given.steps, seed)
        else:
            runs += compared(out, given.steps, seed, chosen, wide=given.form == "wide")
    run("evaluate", *runs, out / given.form, "--segmentation_steps", str(given.segmentation_steps))
    run("report", out / given.form)


if __name__ == "__main__":
    main()
