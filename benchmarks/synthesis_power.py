"""How many patients, and how strong an effect, does the map by synthesis need? Beside the conventional map.

    python benchmarks/synthesis_power.py OUT [--patients 65 130] [--strengths 0.4 0.9] [--steps 800] [--seeds 1]

For every number of patients and strength (share of a lesion property's variance that genes explain): a phantom, the
canonical alignment and the fusion GAN trained on it, both maps, and the average precision of the planted links in each
(see `map_synthesis.py`). Trained on fewer patients the GAN sees as many images. What is already in OUT is kept, so a
stopped benchmark goes on. Prints one table, and writes it to OUT/power.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from comparison import alignment, train
from map_synthesis import answers
from spine import run


def main() -> None:
    """Parse, train what is missing, make both maps of each cohort."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--patients", type=int, nargs="+", default=[65, 130])
    options.add_argument("--strengths", type=float, nargs="+", default=[0.4, 0.9])
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--seeds", type=int, default=1)
    options.add_argument("--clusters", type=int, default=50)
    options.add_argument("--random_sets", type=int, default=300)
    given = options.parse_args()
    tables = []
    for seed in range(given.seeds):
        for patients in given.patients:
            for strength in given.strengths:
                out = given.out / f"{patients}-{strength:g}-{seed}"
                out.mkdir(parents=True, exist_ok=True)
                if not (out / "cohort.zarr").exists():
                    size = ("--patients", str(patients), "--strength", str(strength), "--seed", str(seed))
                    run("cohort", "phantom", out / "cohort.zarr", *size)
                words = ("--alignment", str(alignment(out)))
                trained = train("fusion-gan", out, "fusion-gan", given.steps, seed, *words)
                table = answers(out / "cohort.zarr", trained, given.clusters, given.random_sets)
                tables.append(table.assign(patients=patients, strength=strength, seed=seed))
    made = pd.concat(tables)
    means = made.drop(columns="seed").groupby(["question", "strength", "patients"], sort=False).mean().reset_index()
    with pd.option_context("display.width", 160, "display.max_columns", 20):
        print(means.round(3).to_string(index=False))
    made.to_csv(given.out / "power.csv", index=False)


if __name__ == "__main__":
    main()
