"""The images of a study: drawn lesions, and real ones that nothing but the lesion sets apart.

Every drawing has a twin: a real lesion of a held-out patient, about as large and of a scan about as noisy, laid over
the same background at the same place by the same composition. Where the drawing or its twin would touch the chest wall,
both are left out: the lung that comes with a real lesion would be a dark rim there. All images are whole Hounsfield
units within the window of the drawings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, optimize, stats

from radiogenesis.cohort.lesion_slices import LARGER
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, SettingError
from radiogenesis.evaluation.measures.pasted import DILATION, SMOOTHING, paste
from radiogenesis.methods.images import GrownMask, images_from_hu, outside_lung, turned
from radiogenesis.training.data import untrained_backgrounds
from radiogenesis.training.run import Run
from radiogenesis.window import WINDOW_HU

Masks = NDArray[np.bool_]
Rows = NDArray[np.int64]
SPARE = 2.0
"""Drawings for each that is needed: some touch the chest wall."""
PLACE, LEVEL, NOISE = 3.0, 150.0, 0.4
"""Pixels from the middle, HU around the lesion, and difference in the logarithm of the noise that count as much in the
matching as a lesion e times as large."""
APART = 100.0  # what a lesion on the wall costs in the matching, more than any difference in size


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one kind.

    Attributes:
        image: (N, P, P) int16 HU.
        mask: (N, P, P), the lesion.
        patient: (N,) whose lesion it is, or from whose genes it was drawn.
        background: (N,) row of the cohort's backgrounds; -1 for a slice as it was scanned.
        row: (N,) of the cohort's slices; -1 for a drawing.
    """

    image: NDArray[np.int16]
    mask: Masks
    patient: NDArray[np.str_]
    background: Rows
    row: Rows

    def __getitem__(self, which: NDArray[Any] | slice) -> Images:
        return Images(
            self.image[which], self.mask[which], self.patient[which], self.background[which], self.row[which]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.image)


def whole_units(hu: NDArray[Any]) -> NDArray[np.int16]:
    """HU as every image of the study holds them: clipped to the window, rounded."""
    return np.round(np.clip(hu, *WINDOW_HU)).astype(np.int16)


def twins(
    run: Run, cohort: Cohort, patients: Sequence[str], backgrounds: Rows, count: int, rng: np.random.Generator
) -> tuple[Images, Images]:
    """Drawings for `patients` in turn, and the real lesions that stand beside them; at most `count` of each.

    Args:
        patients: whose genes, and whose real lesions.
        backgrounds: rows of the cohort's backgrounds; each is taken once as long as there are enough.

    Raises:
        CohortError: the patients have no slices with a lesion.
    """
    roomy = _roomy(run, cohort, patients, backgrounds)
    drawn = _drawings(run, cohort, patients, roomy, round(SPARE * count), rng)
    under = cohort.background_image[drawn.background].astype(np.float32)
    wall = _wall(under)
    free = np.flatnonzero(~(drawn.mask & wall).any((1, 2)) & drawn.mask.any((1, 2)))
    drawn, wall, under = drawn[free], wall[free], under[free]
    real = _twins_of(drawn, wall, under, cohort, patients, rng)
    free = np.flatnonzero(~(real.mask & wall).any((1, 2)))
    return drawn[free][:count], real[free][:count]


def _roomy(run: Run, cohort: Cohort, patients: Sequence[str], backgrounds: Rows) -> Rows:
    """Those backgrounds in whose middle a lesion of middle size has room; all of them where none has."""
    area = float(np.median(cohort.lesions(patients, least_area=LARGER).mask.sum((1, 2)) if len(patients) else 0))
    y, x = np.mgrid[: cohort.pixels, : cohort.pixels] - (cohort.pixels - 1) / 2
    middle = np.hypot(y, x) <= np.sqrt(area / np.pi)
    free = ~(_wall(cohort.background_image[backgrounds].astype(np.float32)) & middle).any((1, 2))
    return backgrounds[free] if free.any() else backgrounds


def _drawings(
    run: Run, cohort: Cohort, patients: Sequence[str], backgrounds: Rows, count: int, rng: np.random.Generator
) -> Images:
    turns = -(-count // len(patients))
    whose = np.concatenate([rng.permutation(np.array(patients)) for _ in range(turns)])[:count]
    rounds = -(-count // len(backgrounds))
    where = np.concatenate([rng.permutation(backgrounds) for _ in range(rounds)])[:count]
    genes = dict(zip(patients, run.genes(cohort.expression, patients), strict=True))
    made = run.synthesizer().synthesize(
        cohort.background_image[where].astype(np.float32),
        np.stack([genes[name] for name in whose]),
        seed=int(rng.integers(2**31)),
    )
    return Images(whole_units(made.image), made.mask >= 0.5, whose, where, np.full(count, -1))


def _wall(backgrounds: NDArray[np.float32]) -> Masks:
    """(N, P, P) where a lesion's seam would reach the chest wall."""
    outside = outside_lung(images_from_hu(backgrounds))
    return np.asarray(GrownMask(outside).dilated(DILATION + SMOOTHING - 1)[:, 0].numpy() > 0)


def _twins_of(
    drawn: Images, wall: Masks, under: NDArray[np.float32], cohort: Cohort, patients: Sequence[str],
    rng: np.random.Generator,
) -> Images:  # fmt: skip
    """Real lesions as large as the drawn ones, of scans as noisy as the backgrounds, one for each, turned by lot and
    laid where the drawn ones lie."""
    own = cohort.lesions(patients, least_area=LARGER)
    if not len(own):
        raise CohortError("the held-out patients have no slices with a lesion", path=cohort.path)
    turn = rng.integers(8, size=len(own))
    image, mask = (_turned(part, turn) for part in (own.image, own.mask))
    sizes, centers = mask.sum((1, 2)), _centers(mask)
    wanted, places = drawn.mask.sum((1, 2)), _centers(drawn.mask)
    cost = np.abs(np.log(wanted[:, None] / sizes[None]))
    around = [
        np.array([_log_noise(i, m) for i, m in zip(*part, strict=True)])
        for part in ((under, drawn.mask), (own.image, own.mask))
    ]
    cost += np.abs(around[0][:, None] - around[1][None]) / NOISE
    moves = np.round(places[:, None] - centers[None]).astype(int)
    inside = [np.argwhere(one) for one in mask]
    for d, s in np.ndindex(*cost.shape):
        y, x = ((inside[s] + moves[d, s]) % cohort.pixels).T
        cost[d, s] += APART * bool(wall[d, y, x].any())
    often = -(-len(drawn) // len(own))  # each lesion once, as long as there are enough
    at, chosen = optimize.linear_sum_assignment(np.tile(cost, (1, often)))
    chosen = chosen[np.argsort(at)] % len(own)
    move = moves[np.arange(len(drawn)), chosen]
    laid, soft = paste(
        np.stack([_moved(image[s], by) for s, by in zip(chosen, move, strict=True)]),
        np.stack([_moved(mask[s], by) for s, by in zip(chosen, move, strict=True)]),
        np.zeros(len(drawn), np.int64),
        under,
    )
    return Images(
        whole_units(laid), soft >= 0.5, own.patient[chosen], drawn.background, np.asarray(own.row[chosen], np.int64)
    )


def originals(cohort: Cohort, patients: Sequence[str], like: Images, count: int) -> Images:
    """Slices as they were scanned, each another one, most like `like` in the size of the lesion, its distance from the
    middle and the level around it; fewer where there are fewer."""
    own = cohort.lesions(patients, least_area=LARGER)
    cost = np.zeros((min(count, len(like)), len(own)))
    for cue, unit in ((_log_size, 1.0), (_away, PLACE), (_level, LEVEL), (_log_noise, NOISE)):
        wanted, there = (
            np.array([cue(i, m) for i, m in zip(image, mask, strict=True)])
            for image, mask in ((like.image[:count], like.mask[:count]), (whole_units(own.image), own.mask))
        )
        cost += np.abs(wanted[:, None] - there[None]) / unit
    _, chosen = optimize.linear_sum_assignment(cost)
    chosen = np.sort(chosen)
    return Images(
        whole_units(own.image[chosen]), own.mask[chosen], own.patient[chosen], np.full(len(chosen), -1),
        np.asarray(own.row[chosen], np.int64),
    )  # fmt: skip


def shuffled(images: Images, rng: np.random.Generator) -> Images:
    """The same with the pixels of each lesion in random order: what no reader who looks takes for a lesion."""
    mixed = images.image.copy()
    for one, inside in zip(mixed, images.mask, strict=True):
        one[inside] = rng.permutation(one[inside])
    return Images(mixed, images.mask, images.patient, images.background, images.row)


def cues(drawn: Images, real: Images) -> Mapping[str, tuple[float, float]]:
    """What would tell drawn from real without a look at the lesion: the AUC of each cue, and its p value.

    size, distance of the lesion from the middle, mean HU and noise (deviation of what a 3 x 3 median leaves) outside.
    """
    found = {}
    for name, cue in _CUES.items():
        one, other = ([cue(i, m) for i, m in zip(part.image, part.mask, strict=True)] for part in (drawn, real))
        test = stats.mannwhitneyu(one, other)
        found[name] = (float(test.statistic / (len(one) * len(other))), float(test.pvalue))
    return found


def _log_size(image: NDArray[Any], mask: Masks) -> float:
    return float(np.log(mask.sum()))


def _level(image: NDArray[Any], mask: Masks) -> float:
    return float(image[_around(mask)].mean())


def _away(image: NDArray[Any], mask: Masks) -> float:
    """In whole pixels: nobody sees less."""
    return round(float(np.linalg.norm(np.array(ndimage.center_of_mass(mask)) - (len(mask) - 1) / 2)))


def _log_noise(image: NDArray[Any], mask: Masks) -> float:
    """Of the deviation of what a 3 x 3 median leaves, outside the lesion."""
    rest = image - ndimage.median_filter(np.asarray(image, float), 3)
    return float(np.log(max(1.0, rest[_around(mask)].std())))


def _around(mask: Masks) -> Masks:
    """(P, P) outside the lesion; the whole image where a large tumor fills it, which then is like no drawing."""
    around = ~ndimage.binary_dilation(mask, iterations=DILATION)
    return around if around.any() else np.ones_like(around)


_CUES = {
    "size": _log_size,
    "place": _away,
    "level outside": _level,
    "noise outside": _log_noise,
}


def held_out_backgrounds(run: Run, cohort: Cohort) -> tuple[Rows, str]:
    """Rows of the backgrounds to draw on, and whose they are. Raises CohortError where there are none."""
    if not len(cohort.background_image):
        raise CohortError("has no backgrounds to draw on", path=cohort.path, remedy="build it with backgrounds")
    rows, whose = untrained_backgrounds(cohort, run.split)
    return np.asarray(rows, np.int64), whose


def require(images: Images, asked: int, what: str) -> None:
    """Raises SettingError where not even two could be made."""
    if asked and len(images) < 2:
        raise SettingError(
            f"{len(images)} {what} could be made: no lesion is drawn, or all touch the chest wall",
            remedy="give a run with more held-out patients",
        )


def _turned(part: NDArray[Any], turns: NDArray[Any]) -> NDArray[Any]:
    tensor = torch.from_numpy(np.asarray(part, np.float32))[:, None]
    made = torch.cat([turned(one[None], int(turn)) for one, turn in zip(tensor, turns, strict=True)])[:, 0].numpy()
    return made > 0.5 if part.dtype == bool else np.asarray(made)


def _centers(mask: Masks) -> NDArray[np.float64]:
    return np.array([ndimage.center_of_mass(one) for one in mask]).reshape(-1, 2)


def _moved(part: NDArray[Any], by: NDArray[Any]) -> NDArray[Any]:
    return np.roll(part, tuple(int(step) for step in by), axis=(0, 1))
