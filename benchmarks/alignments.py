"""Which alignment finds a held-out lesion's own patient? Canonical (closed form) beside contrastive (trained), and both
beside shuffled genes, on one cohort in one run.

    python benchmarks/alignments.py COHORT OUT [--steps 300]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from spine import run


def main() -> None:
    """Train four alignments, evaluate them together, print the ranks."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--steps", type=int, default=300, help="of the contrastive alignment")
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True)
    for name, shuffled in (("", "false"), ("-shuffled", "true")):
        words = ("--shuffle_genes", shuffled)
        run("train", "canonical-alignment", given.cohort, out / f"canonical{name}", *words)
        run("train", "alignment", given.cohort, out / f"contrastive{name}", "--steps", str(given.steps), *words)
    names = ("canonical", "contrastive", "canonical-shuffled", "contrastive-shuffled")
    run("evaluate", *(out / name for name in names), out / "evaluation")
    table = pd.read_csv(out / "evaluation" / "tables" / "retrieval.csv")
    ranks = table[table["measure"] == "mean rank"]
    print(ranks[["run", "level", "value", "low", "high", "chance", "p"]].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
