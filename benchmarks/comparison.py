"""Table 1 and figures 3 and 4 of Xu et al. (2020) with error bars: every method, the same patients, the same work.

    python benchmarks/comparison.py phantom OUT [--steps 800] [--seeds 3]   the phantom with its default 130 patients
    python benchmarks/comparison.py planted OUT                             lesions in real lungs (../shared/data)
    python benchmarks/comparison.py phantom OUT --search                    each baseline at three learning rates
    python benchmarks/comparison.py phantom OUT --ablations                 what each part of the fusion GAN is worth

Every run sees steps x 32 images of the same training patients. What is already trained in OUT is kept, so a stopped
benchmark goes on, and the three forms may share one OUT.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from spine import DATA, TABLE, run, unpacked

METHODS = ("fusion-gan", "mc-gan", "inpainting-gan")
PUBLISHED_RATE = "2e-4"
RATES = ("1e-4", PUBLISHED_RATE, "4e-4")

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
    "weight map not guided": ("--lambda_weight_map", "0"),
    "drawn image, not a change of the background": ("--residual", "false"),
    "not composed": ("--compose", "false"),
    "over the chest wall too": ("--stay_in_lung", "false"),
    "no spatial noise": ("--spatial_noise", "false"),
    "mask from anywhere": ("--central_mask", "false"),
    "batch norm in D": ("--discriminator_norm", "batch"),
    "constant learning rate": ("--learning_rate_schedule", "constant"),
    "paper": ("--preset", "paper", "--epochs", "0", "--batch", "32", "--width", "16"),
}
"""Name -> settings of fusion-gan that take the part away."""


def train(method: str, out: Path, name: str, steps: int, seed: int, *words: str) -> Path:
    """One run in OUT/runs, unless it is there already; gone on with where it was stopped."""
    path = out / "runs" / f"{name.replace(' ', '-')}-{seed}"
    if not (path / "weights.safetensors").is_file():
        resume = ["--resume"] if (path / "checkpoints" / "last.ckpt").is_file() else []
        run("train", method, out / "cohort.zarr", path, "--steps", str(steps), "--seed", str(seed), *words, *resume)
    return path


def alignment(out: Path, *words: str, name: str = "alignment", seed: int = 0) -> Path:
    """The canonical alignment, fitted once for all runs."""
    path = out / name
    if not path.exists():
        run("train", "canonical-alignment", out / "cohort.zarr", path, "--seed", str(seed), *words)
    return path


def main() -> None:
    """Parse, train what is missing, evaluate all of it together."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cohort", choices=("phantom", "planted"))
    options.add_argument("out", type=Path)
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--segmentation_steps", type=int, default=0, help="of `evaluate`: usefulness, where above 0")
    form = options.add_mutually_exclusive_group()
    form.add_argument("--search", action="store_true")
    form.add_argument("--ablations", action="store_true")
    given = options.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    cohort = out / "cohort.zarr"
    if not cohort.exists() and given.cohort == "phantom":
        run("cohort", "phantom", cohort)
    elif not cohort.exists():
        run("cohort", "plant", unpacked(out), DATA / TABLE, cohort, "--orientation", "genes-in-rows")
    aligned = alignment(out)
    runs: list[Path] = []
    for seed in range(given.seeds):
        if given.search:
            for method in METHODS[1:]:
                for rate in RATES:
                    name = method if rate == PUBLISHED_RATE else f"{method}-{rate}"
                    rates = ("--learning_rate", rate, "--discriminator_learning_rate", rate)
                    runs.append(train(method, out, name, given.steps, seed, *rates))
        elif given.ablations:
            for name, words in ABLATIONS.items():
                name = "fusion-gan" if name == "full" else name
                runs.append(
                    train("fusion-gan", out, name, given.steps, seed, "--alignment", str(aligned), *words)
                )  # fmt: skip
            null = alignment(out, "--shuffle_genes", "true", name=f"null-alignment-{seed}", seed=seed)
            words = ("--alignment", str(null), "--shuffle_genes", "true")
            runs.append(train("fusion-gan", out, "shuffled genes", given.steps, seed, *words))
        else:
            for method in METHODS:
                words = ("--alignment", str(aligned)) if method == "fusion-gan" else ()
                runs.append(train(method, out, method, given.steps, seed, *words))
    form_name = "search" if given.search else "ablations" if given.ablations else "comparison"
    evaluation = out / form_name
    run("evaluate", *runs, evaluation, "--segmentation_steps", str(given.segmentation_steps))
    run("report", evaluation)


if __name__ == "__main__":
    main()
