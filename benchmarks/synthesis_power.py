"""How many patients, and how strong an effect, does the map by synthesis need? Beside the conventional map.

    python benchmarks/synthesis_power.py OUT [--patients 65 130] [--strengths 0.4 0.9] [--steps 800] [--seeds 1]
    python benchmarks/synthesis_power.py OUT --uncorrected     codes of the training patients as they are, in-sample
    python benchmarks/synthesis_power.py OUT --nulls 12        cohorts in which genes explain nothing: links reported

For every number of patients and strength (share of a lesion property's variance that genes explain): a phantom, the
canonical alignment and the fusion GAN trained on it, both maps, and the average precision of the planted links in each
(see `map_synthesis.py`). Trained on fewer patients the GAN sees as many images. What is already in OUT is kept, so a
stopped benchmark goes on. Prints each cell as it ends and their means, and writes them to OUT/power.csv.

In a null cohort the GAN is trained only where the alignment finds something to draw (p at most 0.05): where it finds
nothing, `map` reports nothing from any run that draws from it.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import pandas as pd

from comparison import alignment, train
from map_synthesis import answers
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.training.run import Run
from spine import run


def made(path: Path, patients: int, strength: float, seed: int) -> Path:
    """The folder with the phantom in it, which is made unless it is there already."""
    path.mkdir(parents=True, exist_ok=True)
    if not (path / "cohort.zarr").exists():
        size = ("--patients", str(patients), "--strength", str(strength), "--seed", str(seed))
        run("cohort", "phantom", path / "cohort.zarr", *size)
    return path


def cell(out: Path, name: str, seed: int, given: argparse.Namespace) -> pd.DataFrame:
    """Both maps' answers for one cohort: kept in OUT, since they take a while."""
    kept = out / f"{name}.csv"
    if not kept.exists():
        trained = train("fusion-gan", out, name, given.steps, seed, "--alignment", str(alignment(out)))
        answers(out / "cohort.zarr", trained, given.clusters, given.random_sets).to_csv(kept, index=False)
    return pd.read_csv(kept)


def nulls(given: argparse.Namespace) -> pd.DataFrame:
    """Links reported in each null cohort, and whether the alignment found anything to draw."""
    rows = []
    for seed in range(given.nulls):
        for patients in given.patients:
            out = made(given.out / f"null-{patients}-{seed}", patients, 0.0, seed)
            critic = Run.open(alignment(out)).method
            assert isinstance(critic, CanonicalAlignment)
            table = None if critic.unread else cell(out, "fusion-gan", seed, given)
            reported = 0 if table is None else int(table["by synthesis, reported"].iloc[0])
            rows.append({"patients": patients, "seed": seed, "p_any": float(critic.p_any[0]), "reported": reported})
            print(pd.DataFrame(rows[-1:]).to_string(index=False), flush=True)
    return pd.DataFrame(rows)


def powers(given: argparse.Namespace) -> pd.DataFrame:
    """The answers of every cell."""
    name = "uncorrected" if given.uncorrected else "fusion-gan"
    tables = []
    for seed, patients, strength in product(range(given.seeds), given.patients, given.strengths):
        out = made(given.out / f"{patients}-{strength:g}-{seed}", patients, strength, seed)
        tables.append(cell(out, name, seed, given).assign(patients=patients, strength=strength, seed=seed))
        print(tables[-1].round(3).to_string(index=False), flush=True)
    return pd.concat(tables)


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
    options.add_argument("--uncorrected", action="store_true")
    options.add_argument("--nulls", type=int, default=0, help="null cohorts of each number of patients, instead")
    given = options.parse_args()
    if given.uncorrected:
        CanonicalAlignment.in_sample_genes = lambda self, genes: genes  # type: ignore[method-assign]
    if given.nulls:
        table = nulls(given)
        print(f"{int(table['reported'].sum())} links in {len(table)} null cohorts")
        table.to_csv(given.out / "nulls.csv", index=False)
        return
    table = powers(given)
    means = table.drop(columns="seed").groupby(["question", "strength", "patients"], sort=False).mean().reset_index()
    with pd.option_context("display.width", 160, "display.max_columns", 20):
        print(means.round(3).to_string(index=False))
    table.to_csv(given.out / ("uncorrected.csv" if given.uncorrected else "power.csv"), index=False)


if __name__ == "__main__":
    main()
