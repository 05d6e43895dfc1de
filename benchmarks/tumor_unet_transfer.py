"""Stage 1 of Li, Sui et al. 2021, from one cohort to others: does a U-Net trained on phantoms find real tumors?

    python benchmarks/tumor_unet_transfer.py OUT [--patients 200] [--steps 2000] [--seeds 0 1 2] [--size_mm 13 70]
        [--attenuation_hu -150 60]

makes a phantom with whole chests, trains tumor-unet on it once per seed, and measures it on the phantom's held-out
patients, on a second phantom (another seed), and on LUNG1-001 and LUNG1-002 of ../shared/data; beside the baseline and
the null of `evaluation.detection`, and minus the baseline patient by patient. With several seeds a patient's value is
the mean over them: intervals are over patients. What is finished in OUT is kept, so an interrupted run goes on.
Prints the tables and writes OUT/*.csv, and OUT/*.png (first seed): outlined in red, found in yellow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from radiogenesis.cli.main import main as radiogenesis
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.detection import (
    MEASURES,
    UNET,
    detection_table,
    differences,
    findings,
    outlined_stacks,
    summarized,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.inference.finding import tumor_unet
from radiogenesis.methods.tumor_unet import FindSettings
from radiogenesis.reporting.overlays import overlay_grid
from radiogenesis.training.run import Run

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WHOLE = ("--whole_pixels", 128)
SHOWN = 8


def run(*words: object) -> None:
    """One verb, as on the command line; stops where it fails."""
    print("$ radiogenesis", *words, flush=True)
    if radiogenesis([str(word) for word in words]):
        sys.exit(f"failed: radiogenesis {' '.join(map(str, words))}")


def made(path: Path, *words: object) -> None:
    """A verb that writes `path`, unless an earlier call has."""
    if not path.exists():
        run(*words)


def trained(cohort: Path, path: Path, steps: int, seed: int) -> Run:
    """The run of one seed: trained, gone on with, or found finished."""
    if not (path / "weights.safetensors").is_file():
        again = ["--resume"] if (path / "checkpoints" / "last.ckpt").is_file() else []
        run("train", "tumor-unet", cohort, path, "--steps", steps, "--seed", seed, *again)
    return Run.open(path)


def measured(name: str, runs: dict[int, Run], cohort: Cohort, patients: list[str], out: Path) -> None:
    """Print and write the table of one cohort, and a picture of what the first seed found."""
    find, settings, parts, shown = FindSettings(), EvaluationSettings(), [], []
    for seed, one in runs.items():
        method = tumor_unet(one)
        stacks, left_out = outlined_stacks(cohort, patients, method.pixels, float(one.config["pixel_mm"]))
        found = findings(method, stacks, find, seed=settings.seed)
        _, each = detection_table(stacks, found, settings)
        parts.append(each.assign(seed=seed))
        shown = shown or [(s.patient, s.image, s.tumor, f > 0) for s, f in zip(stacks, found[UNET], strict=True)]
        if left_out:
            print(f"{name}, left out: {left_out}")
        print(f"{name}, seed {seed}: mean Dice {each.groupby('finder', sort=False)['dice'].mean().round(3).to_dict()}")
    each = pd.concat(parts)
    averaged = each.groupby(["finder", "patient"], sort=False)[list(MEASURES)].mean().reset_index()
    table = pd.concat([summarized(averaged, settings), differences(each, settings)])
    print(f"\n{name}\n{table.round(3).to_string(index=False)}", flush=True)
    table.to_csv(out / f"{name}.csv", index=False)
    each.to_csv(out / f"{name}_patients.csv", index=False)
    overlay_grid(shown[:SHOWN], out / f"{name}.png")


def main() -> None:
    """Parse, make, train, measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--patients", type=int, default=200)
    options.add_argument("--others", type=int, default=24, help="patients of the second phantom")
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training each; the split is the same")
    # Real tumors of NSCLC-Radiomics measure up to 9 cm: the phantom's are drawn larger than in the default cohort.
    options.add_argument("--size_mm", type=float, nargs=2, default=(13.0, 70.0), help="least and largest diameter")
    # Nor are they ground glass: a U-Net that rarely meets solid tumors looks for a density between lung and wall.
    options.add_argument("--attenuation_hu", type=float, nargs=2, default=(-150.0, 60.0), help="lightest and densest")
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    size, attenuation = ("[{:g},{:g}]".format(*ends) for ends in (given.size_mm, given.attenuation_hu))
    tumors = ("--size_mm", size, "--attenuation_hu", attenuation)
    phantom = (*WHOLE, *tumors, "--genes", 200, "--modules", 8, "--slices_per_center", 2)
    for name, patients, seed in (("phantom", given.patients, 0), ("other", given.others, 1)):
        path = out / f"{name}.zarr"
        made(path, "cohort", "phantom", path, "--patients", patients, "--seed", seed, *phantom)
    if not (out / "raw").exists():
        unpack = [sys.executable, str(DATA / "unpack.py"), str(out / "raw")]
        subprocess.run(unpack, check=True, stdout=subprocess.DEVNULL)
    made(out / "real.zarr", "cohort", "build", out / "raw" / "ct", out / "real.zarr", *WHOLE, "--workers", 1)
    runs = {seed: trained(out / "phantom.zarr", out / f"run{seed}", given.steps, seed) for seed in given.seeds}
    first = next(iter(runs.values()))
    cohorts = {name: Cohort.open(out / f"{name}.zarr") for name in ("phantom", "other", "real")}
    patients = {name: list(map(str, cohort.patients.index)) for name, cohort in cohorts.items()}
    patients["phantom"] = list(first.split.test)
    for name, cohort in cohorts.items():
        measured(name, runs, cohort, patients[name], out)
    made(out / "found", "find-tumor", first.path, out / "raw" / "ct", out / "found")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
