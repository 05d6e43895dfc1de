"""`radiogenesis demo --framework sui`: the three stages of Li, Sui et al. on a phantom cohort, and their report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from radiogenesis.cli.demo import DemoSettings, go_on, step

if TYPE_CHECKING:
    from radiogenesis.reporting.model import Section

STEPS = 7
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
    step(2, "stage 1: the U-Net learns to find tumours in whole slices", STEPS)
    go_on(train.main, ["tumor-unet", cohort, unet, f"--steps={settings.unet_steps}", seed])
    step(3, "stage 2: the autoencoder learns to read genes off tumour regions, and to draw regions from genes", STEPS)
    go_on(train.main, ["gene-autoencoder", cohort, autoencoder, f"--steps={settings.autoencoder_steps}", seed])
    step(4, "stage 3: the conditional GAN learns to draw tumour regions from metagenes", STEPS)
    gan_arguments = ["metagene-gan", cohort, gan, f"--steps={settings.gan_steps}", seed]
    go_on(train.main, [*gan_arguments, f"--metagenes={settings.metagenes}"])
    if not evaluation.exists():
        step(5, "what is found, read and drawn for patients that no training has seen, beside rivals and nulls", STEPS)
        evaluate.main([autoencoder, gan, str(evaluation), seed])
    step(6, "figures 5 and 6: the U-Net's findings; metagenes against the encoder's features", STEPS)
    add_sections(evaluation, Path(unet), Path(autoencoder), settings)
    step(7, "the report", STEPS)
    report.main([str(evaluation)])
    return evaluation


def add_sections(evaluation: Path, unet: Path, autoencoder: Path, settings: DemoSettings) -> None:
    """Put stage 1 and figure 6 on the page, unless an earlier call of the demo has done so."""
    from radiogenesis.reporting.model import Page

    page = Page.load(evaluation)
    made = [detection_section(evaluation, unet, settings), association_section(evaluation, autoencoder, settings)]
    titles = {section.title for section in made}
    first, *rest = [section for section in page.sections if section.title not in titles]
    dataclasses.replace(page, sections=(first, made[0], *rest, made[1])).save(evaluation)


def detection_section(evaluation: Path, unet: Path, settings: DemoSettings) -> Section:
    """Figure 5 and the numbers of stage 1, on the patients that the U-Net never saw."""
    from radiogenesis.evaluation.detection import detection_table, found_in, side_by_side, stack_of
    from radiogenesis.evaluation.detection_page import SIDE_BY_SIDE, comparison_table
    from radiogenesis.evaluation.framework_pictures import figure_5
    from radiogenesis.evaluation.settings import EvaluationSettings
    from radiogenesis.methods.tumor_unet import FindSettings
    from radiogenesis.reporting.model import Section
    from radiogenesis.training.finding import tumor_unet
    from radiogenesis.training.run import Run

    run = Run.open(unet)
    cohort, method, find = run.open_cohort(), tumor_unet(run), FindSettings()
    held_out, pixel_mm = run.split.test, float(run.config["pixel_mm"])
    table, each = detection_table(
        method, pixel_mm, cohort, held_out, find=find, settings=EvaluationSettings(seed=settings.seed)
    )
    table.to_csv(evaluation / "tables" / "detection.csv", index=False)
    side_by_side(table).to_csv(evaluation / "tables" / SIDE_BY_SIDE, index=False)
    each.to_csv(evaluation / "tables" / "detection_patients.csv", index=False)
    assert cohort.whole is not None
    stacks = [stack_of(cohort.whole, patient) for patient in held_out[:6]]
    shown = {stack.patient: (stack.image, stack.tumour, found_in(method, stack, find) > 0) for stack in stacks}
    return Section(
        title="Finding the tumour",
        text=(
            "Stage 1 of Li, Sui et al.: a U-Net looks for tumours in whole slices of patients whom it was not trained "
            "on; the lungs are found without the outline, and only pieces at the lungs count. The rival takes the "
            "largest compact dense piece inside the lungs; the null is what was found in another patient. The regions "
            "that the next stages see are cut from the given outlines here."
        ),
        blocks=(
            figure_5(shown, evaluation / "pictures"),
            comparison_table(),
        ),
    )


def association_section(evaluation: Path, autoencoder: Path, settings: DemoSettings) -> Section:
    """Figure 6."""
    from radiogenesis.mapping.code_features import code_feature_map, code_section
    from radiogenesis.mapping.settings import MapSettings
    from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
    from radiogenesis.training.run import Run

    run = Run.open(autoencoder)
    assert isinstance(run.method, GeneAutoencoder)
    made = code_feature_map(
        run.method,
        run.open_cohort(),
        run.split,
        run.scaler,
        MapSettings(seed=settings.seed, clusters=settings.metagenes),
    )
    return code_section(made, evaluation)
