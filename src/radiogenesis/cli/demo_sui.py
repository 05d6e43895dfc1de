"""`radiogenesis demo --framework sui`: the three stages of Li, Sui et al. on a phantom cohort, and their report."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.demo_steps import DemoSettings, go_on, step

STEPS = 6
WHOLE_PIXELS = 128
"""Side of the whole slices for stage 1: what suits a CPU."""


def main(out: Path, settings: DemoSettings) -> Path:
    """Run the stages one after the other; returns the folder of the evaluation."""
    from radiogenesis.cli import cohort_phantom, evaluate, report, train

    names = ("cohort.zarr", "tumor-unet", "gene-autoencoder", "metagene-gan")
    cohort, unet, autoencoder, gan = (str(out / name) for name in names)
    evaluation, seed = out / "evaluation", f"--seed={settings.seed}"
    if not Path(cohort).exists():
        step(
            1,
            "a cohort of phantom patients with whole CT slices, whose genes drive what their lesions look like",
            STEPS,
        )
        cohort_phantom.main([cohort, f"--patients={settings.patients}", f"--whole_pixels={WHOLE_PIXELS}", seed])
    step(2, "stage 1: the U-Net learns to find tumors in whole slices", STEPS)
    go_on(train.main, ["tumor-unet", cohort, unet, f"--steps={settings.unet_steps}", seed])
    step(3, "stage 2: the autoencoder learns to read genes off tumor regions, and to draw regions from genes", STEPS)
    go_on(train.main, ["gene-autoencoder", cohort, autoencoder, f"--steps={settings.autoencoder_steps}", seed])
    step(4, "stage 3: the conditional GAN learns to draw tumor regions from metagenes", STEPS)
    gan_arguments = ["metagene-gan", cohort, gan, f"--steps={settings.gan_steps}", seed]
    go_on(train.main, [*gan_arguments, f"--metagenes={settings.metagenes}"])
    if not evaluation.exists():
        step(
            5, "what is found, read and drawn for patients that no training has seen, beside baselines and nulls", STEPS
        )
        evaluate.main([unet, autoencoder, gan, str(evaluation), seed])
    step(6, "the report", STEPS)
    report.main([str(evaluation)])
    return evaluation
