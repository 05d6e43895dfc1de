"""Stages 2 and 3 of Li, Sui et al. (2021) over seeds, and beside runs whose genes were shuffled between patients.

    python benchmarks/framework_seeds.py OUT [--seeds 3] [--autoencoder_steps 300] [--gan_steps 800]

on the phantom of the demo (130 patients, seed 0). Writes OUT/gene-autoencoder and OUT/metagene-gan, each an evaluation
with its page. What is already trained in OUT is kept, so a stopped benchmark goes on. Stage 1 has a benchmark of its
own, `tumor_unet_transfer.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from comparison import train
from spine import run


def main() -> None:
    """Parse, train what is missing, evaluate each stage."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--autoencoder_steps", type=int, default=300)
    options.add_argument("--gan_steps", type=int, default=800)
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cohort.zarr").exists():
        run("cohort", "phantom", out / "cohort.zarr", "--whole_pixels", "128")
    for method, steps in (("gene-autoencoder", given.autoencoder_steps), ("metagene-gan", given.gan_steps)):
        runs = [train(method, out, method, steps, seed) for seed in range(given.seeds)]
        runs.append(train(method, out, f"null-{method}", steps, 0, "--shuffle_genes", "true"))
        if not (out / method).exists():
            run("evaluate", *runs, out / method, "--segmentation_steps", "0")
        run("report", out / method)


if __name__ == "__main__":
    main()
