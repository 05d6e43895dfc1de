"""Usefulness: does a segmentation network find held-out lesions better when drawn lesions are added to its training?

A small U-Net is trained twice with the same first weights, for the same number of steps of the same size: on the
training patients' slices alone, and on those mixed half and half with lesions drawn from their genes on their
backgrounds; where these have none, on those of scans of nobody who is held out. Nothing of a held-out patient is seen
by either. Dice on the held-out patients' slices, averaged by patient; the difference is paired by patient.

Two networks that were trained on the same slices in another order differ too, for all patients alike, and a test over
patients takes that for an effect. So the interval is over patients and over networks (two-way bootstrap, Owen 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError
from radiogenesis.evaluation.measures.base import (
    PATIENTS as PATIENTS_COLUMN,
)
from radiogenesis.evaluation.measures.base import (
    REST,
    RUN,
    Measure,
    Number,
    Result,
    Score,
    Work,
    joined,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import Synthesizer
from radiogenesis.reporting.model import Column, Section, Table
from radiogenesis.reporting.wording import coverage, p_text
from radiogenesis.stats.resampling import ALPHA, Floats, interval, nanmean, patient_means, resamples
from radiogenesis.window import scaled

if TYPE_CHECKING:
    from radiogenesis.evaluation.results import RunResults

WIDTHS = (8, 16, 32)
BATCH = 16
LEARNING_RATE = 2e-3
MOST_DRAWN = 512  # drawings added at most


class SmallUNet(nn.Module):
    """(B, 1, P, P) in [-1, 1] -> logits (B, 1, P, P); P must be a multiple of 4. About 30,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.down = nn.ModuleList([_block(1, a), _block(a, b), _block(b, c)])
        self.up = nn.ModuleList([_block(c + b, b), _block(b + a, a)])
        self.out = nn.Conv2d(a, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down[0](x)
        second = self.down[1](F.max_pool2d(first, 2))
        h = self.down[2](F.max_pool2d(second, 2))
        for block, skipped in zip(self.up, (second, first), strict=True):
            h = block(torch.cat([F.interpolate(h, scale_factor=2.0), skipped], dim=1))
        logits: Tensor = self.out(h)
        return logits


def _block(incoming: int, outgoing: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(incoming, outgoing, 3, padding=1, bias=False),
        nn.BatchNorm2d(outgoing),
        nn.ReLU(inplace=True),
        nn.Conv2d(outgoing, outgoing, 3, padding=1, bias=False),
        nn.BatchNorm2d(outgoing),
        nn.ReLU(inplace=True),
    )


@dataclass(frozen=True)
class Slices:
    """Images (N, P, P) in HU and masks (N, P, P)."""

    image: NDArray[Any]
    mask: NDArray[Any]


def dice(predicted: NDArray[np.bool_], mask: NDArray[np.bool_]) -> Floats:
    """(B, P, P) twice -> (B,): 2 |A and B| / (|A| + |B|); nan where both are empty."""
    both, sizes = (predicted & mask).sum((1, 2)), predicted.sum((1, 2)) + mask.sum((1, 2))
    return np.asarray(np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), np.nan))


def soft_dice_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """1 - Dice of the probabilities over the whole batch, plus binary cross-entropy."""
    p = logits.sigmoid()
    overlap = 2 * (p * mask).sum() / (p.sum() + mask.sum()).clamp_min(1e-6)
    return 1 - overlap + F.binary_cross_entropy_with_logits(logits, mask)


def segmentation_dice(parts: Sequence[Slices], test: Slices, *, steps: int, seed: int) -> Floats:
    """Train on equal shares of `parts`, and return the Dice of every test slice.

    The same seed gives the same first weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallUNet()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    inputs = [(torch.from_numpy(_unit(p.image)), torch.from_numpy(_binary(p.mask))) for p in parts]
    streams = [np.random.default_rng([seed, number]) for number in range(len(parts))]
    share = BATCH // len(parts)
    for _ in range(steps):
        chosen = [
            (rng.integers(0, len(x), share), int(rng.integers(4)), bool(rng.integers(2)))
            for rng, (x, _) in zip(streams, inputs, strict=True)
        ]
        x, m = (
            torch.cat(
                [
                    _turned(part[which][index], turns, mirrored)
                    for part, (index, turns, mirrored) in zip(inputs, chosen, strict=True)
                ]
            )
            for which in (0, 1)
        )
        optimizer.zero_grad(set_to_none=True)
        soft_dice_loss(network(x), m).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        predicted = [
            (network(torch.from_numpy(_unit(test.image[start : start + 128]))) > 0)[:, 0].numpy()
            for start in range(0, len(test.image), 128)
        ]
    return dice(np.concatenate(predicted), np.asarray(test.mask) >= 0.5)


def _unit(image: NDArray[Any]) -> NDArray[np.float32]:
    return (2 * scaled(image) - 1).astype(np.float32)[:, None]


def _binary(mask: NDArray[Any]) -> NDArray[np.float32]:
    return (np.asarray(mask) >= 0.5).astype(np.float32)[:, None]


def _turned(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    x = torch.rot90(x, turns, (2, 3))
    return x.flip(3) if mirrored else x


@dataclass(frozen=True)
class DiceGained:
    """Dice by held-out patient (n,), with real slices alone and with drawings added; the test of the difference.

    Attributes:
        p: one-sided Wilcoxon signed-rank test over patients for "better with drawings", given these networks.
        difference: (1 + D,) mean difference and its resamples over patients and networks.
        by_network: (R,) mean difference over patients of each pair of networks.
        slices: real ones to train on.
        images: held-out slices.
        added: drawings that were added.
    """

    without: Floats
    with_drawings: Floats
    p: float
    difference: Floats
    by_network: Floats
    slices: int
    images: int
    added: int


def dice_by_patient(
    parts: Sequence[Slices], test: Slices, owner: NDArray[np.str_], settings: EvaluationSettings
) -> Floats:
    """(R, n) Dice of each network, trained on `parts`, on `test`, whose slices belong to `owner`: patients sorted."""
    patients = sorted(set(map(str, owner)))
    steps, seeds = settings.segmentation_steps, range(settings.seed, settings.seed + settings.segmentation_repeats)
    each = [segmentation_dice(parts, test, steps=steps, seed=seed) for seed in seeds]
    return np.stack([patient_means(one, owner, patients) for one in each])


def usefulness(
    without: Floats,
    real: Slices,
    drawn: Slices,
    test: Slices,
    owner: NDArray[np.str_],
    settings: EvaluationSettings,
) -> DiceGained:
    """Train with `drawn` added to `real`, and compare on `test`, whose slices belong to `owner`.

    Args:
        without: (R, n) `dice_by_patient` of `real` alone: the same for all methods that are asked.
    """
    with_drawings = dice_by_patient([real, drawn], test, owner, settings)
    difference = with_drawings - without  # (R, n)
    mean = nanmean(difference, 0)
    known = mean[np.isfinite(mean)]
    return DiceGained(
        nanmean(without, 0),
        nanmean(with_drawings, 0),
        p=float(wilcoxon(known, alternative="greater").pvalue) if known.any() else 1.0,
        difference=np.concatenate([[nanmean(mean, 0)], two_way(difference, settings.bootstrap, settings.seed)]),
        by_network=nanmean(difference, 1),
        slices=len(real.image),
        images=len(test.image),
        added=len(drawn.image),
    )


def two_way(values: Floats, draws: int, seed: int) -> Floats:
    """(D,) means of (R, n) values, rows and columns resampled; nan left out."""
    rows = resamples(len(values), draws, [seed, 15])
    columns = resamples(values.shape[1], draws, [seed, 11])
    return nanmean(values[rows[:, :, None], columns[:, None, :]].reshape(draws, -1), 1)


def drawn_for_training(
    synthesizer: Synthesizer, cohort: Cohort, split: Split, genes: NDArray[Any], settings: EvaluationSettings
) -> Slices:
    """Lesions drawn from the training patients' genes on their backgrounds; drawings without a lesion are left out.

    Args:
        genes: (t, G) scaled genes of `split.train`, in its order.

    Raises:
        CohortError: only held-out patients have backgrounds.
    """
    pool = _backgrounds(cohort, split)
    count = min(MOST_DRAWN, int(np.isin(cohort.slice_patient, list(split.train)).sum()))
    rng = np.random.default_rng([settings.seed, 12])
    index, who = rng.choice(pool, count), np.arange(count) % len(genes)
    backgrounds = cohort.background_image[index].astype(np.float32)
    drawn = synthesizer.synthesize(backgrounds, np.asarray(genes, np.float32)[who], seed=settings.seed + 1)
    mask = drawn.mask >= 0.5
    kept = mask.any((1, 2))
    return Slices(drawn.image[kept], mask[kept])


def _backgrounds(cohort: Cohort, split: Split) -> NDArray[np.int64]:
    """Places of the training patients' backgrounds; where these have none, of scans of nobody who is held out."""
    owner = cohort.background_patient
    for pool in (np.isin(owner, list(split.train)), ~np.isin(owner, list(split.test))):
        if pool.any():
            return np.flatnonzero(pool)
    raise CohortError(
        "all backgrounds of its cohort are of held-out patients, so there is none to draw on for training",
        path=cohort.path,
        remedy="leave usefulness out with --segmentation_steps 0",
    )


class Usefulness(Measure):
    """Segmentation with and without the drawings. Without them the network is trained once for all runs of a split:
    nothing of the runs has a part in it."""

    table = "usefulness"
    numbers: ClassVar = {
        "usefulness": Number("Dice gained", "higher", ".3f", "segmentation with drawings added, minus without", REST,
                             "usefulness", of_drawings=False)
    }  # fmt: skip

    def measure(self, work: Work) -> Result:
        settings, cohort, split = work.settings, work.cohort, work.subject.split
        if not settings.segmentation_steps:
            return Result()
        train, test = (cohort.lesions(part) for part in (split.train, split.test))
        real, asked = (Slices(part.image, part.mask) for part in (train, test))
        alone = work.memory.once((Usefulness, split), lambda: dice_by_patient([real], asked, test.patient, settings))
        genes = work.subject.genes(cohort.expression, split.train)
        drawn = drawn_for_training(work.synthesizer, cohort, split, genes, settings)
        return used(usefulness(alone, real, drawn, asked, test.patient, settings), test.patient, settings)

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        joined(runs, "usefulness_patients", tables)
        return [_usefulness_section(joined(runs, self.table, tables), settings)]

    def sentence(self, run: RunResults, confidence: float) -> str:
        return usefulness_conclusion(run.subject.name, run.tables[self.table], confidence)


def used(result: DiceGained, owner: NDArray[np.str_], settings: EvaluationSettings) -> Result:
    """The table, the patients behind it, and the score."""
    low, high = interval(result.difference[1:], settings.confidence)
    table = pd.DataFrame(
        [
            {
                "without": float(nanmean(result.without, 0)), "with": float(nanmean(result.with_drawings, 0)),
                "difference": float(result.difference[0]), "low": low, "high": high, "p": result.p,
                "least": float(result.by_network.min()), "most": float(result.by_network.max()),
                "steps": settings.segmentation_steps, "networks": settings.segmentation_repeats,
                "drawings": result.added, "slices": result.slices, "patients": len(result.without),
                "images": result.images,
            }
        ]
    )  # fmt: skip
    patients = pd.DataFrame(
        {"patient": sorted(set(map(str, owner))), "without": result.without,
         "with": result.with_drawings}
    )  # fmt: skip
    score = Score(
        float(result.difference[0]), result.difference[1:], null=0.0, images=result.images, patients=len(result.without)
    )
    return Result({"usefulness": table, "usefulness_patients": patients}, {"usefulness": score})


def usefulness_conclusion(label: str, table: pd.DataFrame, confidence: float) -> str:
    """One sentence on segmentation with drawings added."""
    row = table.iloc[0]
    figures = (
        f"Dice {row['with']:.3f} with drawings, {row['without']:.3f} without, difference {row['difference']:+.3f} "
        f"({coverage(confidence)} interval {row['low']:+.3f} to {row['high']:+.3f}; {p_text(row['p'])}, "
        f"{int(row['steps'])} steps each)"
    ).replace("-", "−")
    if row["low"] > 0 and row["p"] < ALPHA:
        return f"{label}: adding drawn lesions helps a segmentation network on held-out patients: {figures}."
    if row["high"] < 0:
        return f"{label}: adding drawn lesions harms a segmentation network on held-out patients: {figures}."
    return f"{label}: that adding drawn lesions helps a segmentation network is not shown: {figures}."


def _usefulness_section(file: str, settings: EvaluationSettings) -> Section:
    columns = (
        RUN,
        Column(label="Dice without", value="without", format=".3f"),
        Column(label="Dice with", value="with", format=".3f"),
        Column(label="Difference", value="difference", low="low", high="high", format=".3f"),
        Column(label="Pairs of networks, least", value="least", format=".3f"),
        Column(label="most", value="most", format=".3f"),
        Column(label="p", value="p", format="p", help="one-sided Wilcoxon over patients, given these networks"),
        Column(label="Steps", value="steps", format="d"),
        Column(label="Networks", value="networks", format="d"),
        Column(label="Drawings", value="drawings", format="d"),
        PATIENTS_COLUMN,
        Column(label="Slices", value="images", format="d"),
    )
    return Section(
        title="Are they of use?",
        text=(
            "A small segmentation network is trained on the training patients' slices, and once more with "
            "lesions added that "
            "were drawn from the same patients' genes; the same steps, the same first weights. Dice on held-out "
            "patients."
        ),
        blocks=(
            Table(
                file=file,
                caption=(f"Means over patients, {coverage(settings.confidence)} intervals over patients and networks."),
                columns=columns,
            ),
        ),
    )
