"""Stage 1 of Li, Sui et al. 2021, from one cohort to others: does a U-Net trained on phantoms find real tumours?

    python benchmarks/tumor_unet_transfer.py OUT [--patients 120] [--steps 1500]

makes a phantom with whole chests, trains tumor-unet on it, and measures it on the phantom's held-out patients, on a
second phantom (another seed), and on LUNG1-001 and LUNG1-002 of ../shared/data; beside the rival and the null of
`evaluation.detection`. Prints the tables and writes OUT/*.csv, and OUT/*.png: outlined in red, found in yellow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from radiogenesis.cli.main import main as radiogenesis
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.detection import detection_table, outlined_stacks
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.tumor_unet import FindSettings, separate
from radiogenesis.reporting.overlays import overlay_grid
from radiogenesis.training.finding import tumor_unet
from radiogenesis.training.run import Run

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WHOLE = ("--whole_pixels", 128)
SHOWN = 8


def run(*words: object) -> None:
    """One verb, as on the command line; stops where it fails."""
    print("$ radiogenesis", *words, flush=True)
    if radiogenesis([str(word) for word in words]):
        sys.exit(f"failed: radiogenesis {' '.join(map(str, words))}")


def measured(name: str, trained: Run, cohort: Cohort, patients: list[str], out: Path) -> None:
    """Print and write the table of one cohort, and a picture of what was found."""
    method, pixel_mm, find = tumor_unet(trained), float(trained.config["pixel_mm"]), FindSettings()
    table, each = detection_table(method, pixel_mm, cohort, patients, find=find, settings=EvaluationSettings())
    print(f"\n{name}\n{table.round(3).to_string(index=False)}", flush=True)
    table.to_csv(out / f"{name}.csv", index=False)
    each.to_csv(out / f"{name}_patients.csv", index=False)
    rows = [
        (s.patient, s.image, s.tumour, separate(method.probability(s.image), s.spacing_mm, find) > 0)
        for s in outlined_stacks(cohort, patients, method.pixels, pixel_mm)[:SHOWN]
    ]
    overlay_grid(rows, out / f"{name}.png")


def main() -> None:
    """Parse, make, train, measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--patients", type=int, default=120)
    options.add_argument("--others", type=int, default=24, help="patients of the second phantom")
    options.add_argument("--steps", type=int, default=1500)
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True)
    started = time.perf_counter()
    # Real tumours of NSCLC-Radiomics measure up to 9 cm: the phantom's are drawn larger than in the default cohort.
    phantom = (*WHOLE, "--size_mm", "[13,65]", "--genes", 200, "--modules", 8, "--slices_per_center", 2)
    run("cohort", "phantom", out / "phantom.zarr", "--patients", given.patients, *phantom)
    run("cohort", "phantom", out / "other.zarr", "--patients", given.others, "--seed", 1, *phantom)
    run("train", "tumor-unet", out / "phantom.zarr", out / "run", "--steps", given.steps)
    subprocess.run([sys.executable, str(DATA / "unpack.py"), str(out / "raw")], check=True, stdout=subprocess.DEVNULL)
    run("cohort", "build", out / "raw" / "ct", out / "real.zarr", *WHOLE, "--workers", 1)
    trained = Run.open(out / "run")
    cohorts = {name: Cohort.open(out / f"{name}.zarr") for name in ("phantom", "other", "real")}
    patients = {name: list(map(str, cohort.patients.index)) for name, cohort in cohorts.items()}
    patients["phantom"] = list(trained.split.test)
    for name, cohort in cohorts.items():
        measured(name, trained, cohort, patients[name], out)
    run("find-tumour", out / "run", out / "raw" / "ct", out / "found")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
