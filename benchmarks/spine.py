"""The spine on one cohort, end to end: cohort, alignment, fusion GAN, evaluation, report; prints the numbers.

    python benchmarks/spine.py phantom OUT [--steps 800]     the phantom with its default 130 patients
    python benchmarks/spine.py planted OUT [--steps 800]     lesions planted into the real lungs of ../shared/data,
                                                             driven by the real expression of 130 patients
    python benchmarks/spine.py build OUT                     the three real CT archives -> cohort; prints GTV volumes

A longer run than the demo is `--steps 3600`; `--gan="--pull 8"` gives `train fusion-gan` further settings.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from radiogenesis.cli.main import main as radiogenesis
from radiogenesis.cohort.store import Cohort

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TABLE = "expression/gse103584_zscore_1000genes_130patients.csv"


def run(*words: str | Path) -> None:
    """One verb, as on the command line; stops where it fails."""
    print("$ radiogenesis", *words, flush=True)
    if radiogenesis([str(word) for word in words]):
        sys.exit(f"failed: radiogenesis {' '.join(map(str, words))}")


def unpacked(out: Path) -> Path:
    """The CT archives, unpacked below `out`."""
    subprocess.run([sys.executable, str(DATA / "unpack.py"), str(out / "raw")], check=True, stdout=subprocess.DEVNULL)
    return out / "raw" / "ct"


def main() -> None:
    """Parse, run the verbs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", choices=("phantom", "planted", "build"))
    options.add_argument("out", type=Path)
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--gan", default="", help="further settings of `train fusion-gan`, in one word")
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True)
    cohort, alignment, gan = out / "cohort.zarr", out / "alignment", out / "fusion-gan"
    if given.cohort == "phantom":
        run("cohort", "phantom", cohort)
    elif given.cohort == "planted":
        run("cohort", "plant", unpacked(out), DATA / TABLE, cohort, "--orientation", "genes-in-rows")
    else:
        table = ("--expression", DATA / TABLE, "--orientation", "genes-in-rows")
        for edge in ("center", "touched"):
            path = out / f"{edge}.zarr"
            run("cohort", "build", unpacked(out), path, *table, "--contour_edge", edge)
            for patient, volume in Cohort.open(path).patients["tumour_volume_ml"].dropna().items():
                print(f"contour_edge={edge}: {patient} {volume:.1f} ml")
        return
    run("train", "canonical-alignment", cohort, alignment)
    run("train", "fusion-gan", cohort, gan, "--alignment", alignment, "--steps", str(given.steps), *given.gan.split())
    run("evaluate", alignment, gan, out / "evaluation")
    run("report", out / "evaluation")


if __name__ == "__main__":
    main()
