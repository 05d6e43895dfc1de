"""The study: which images and pairs readers are shown, and the key that says what each of them is.

The page knows images by their place in a shuffled list, and items by names that say nothing. What each of them is
stands in the key alone, which stays with whoever made the study.

OUT.html       the page: send it to the readers
OUT.key.json   the key: keep it; `radiogenesis readers analyze` needs it
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from radiogenesis.cohort.digest import file_digest, json_digest
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.evaluation.copies import copies
from radiogenesis.mapping.synthesis.runs import require_nulls
from radiogenesis.progress import Progress, silent
from radiogenesis.readers import material
from radiogenesis.readers.moves import MovedPairs, moved_pairs, moves
from radiogenesis.readers.network import judged, train_judge, training_images
from radiogenesis.readers.settings import StudySettings
from radiogenesis.stats.mrmc import auc_of_readers
from radiogenesis.training.run import Run
from radiogenesis.version import __version__

Task = Literal["rate", "drawn", "high"]
"""Rate one image; which of two is drawn; which of two has something high."""
REAL_KINDS: Mapping[str, tuple[str, ...]] = {
    "both": ("pasted", "original"), "pasted": ("pasted",), "original": ("original",)
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Item:
    """One question.

    Attributes:
        task: which of the three.
        images: one image (P, P) int16 HU, or two, A and B.
        question: of `high` what readers read; else "".
        truth: what the key holds of it: kind, right ("A" or "B"), patients, property, control, ...
    """

    task: Task
    images: tuple[NDArray[np.int16], ...]
    question: str
    truth: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Study:
    """A study that is ready to be written.

    Attributes:
        name: what page, answers and key have in common.
        settings: of the study.
        items: name -> item, in the order of the key.
        pixels, pixel_mm: of the images.
        record: what the key holds besides the items.
        warnings: what the page says loudly.
    """

    name: str
    settings: StudySettings
    items: dict[str, Item]
    pixels: int
    pixel_mm: float
    record: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()

    def key(self) -> dict[str, Any]:
        """What key.json holds."""
        items = {name: {"task": item.task, **item.truth} for name, item in self.items.items()}
        return {"study": self.name, **self.record, "items": items}


def make_study(
    run: Run,
    settings: StudySettings,
    *,
    cohort: str | Path | None = None,
    null_run: Run | None = None,
    gene_sets: Mapping[str, Sequence[str]] | None = None,
    evaluation: Path | None = None,
    progress: Progress = silent,
) -> Study:
    """Choose, draw and match everything that readers are shown.

    Args:
        run: a finished run that draws.
        settings: how much of what.
        cohort: the run's cohort, where it has moved.
        null_run: the same with shuffled genes, for the control of the third task.
        gene_sets: where the pathways are looked up.
        evaluation: of the run, whose examination for copies is read instead of being computed.
        progress: told of every stage.

    Raises:
        SettingError: real patients without permission; nothing asked; a pathway that is not there.
        RunError: a run that does not draw, whose drawings may be copies, or a null run that does not fit.
    """
    run.synthesizer()
    opened = run.open_cohort(cohort)
    if not opened.imaging.of_lungs:
        raise SettingError(
            f"{opened.path} shows {opened.imaging.text}: reader studies are made for CT "
            "of lungs in HU", remedy="give a run on such a cohort",
        )  # fmt: skip
    warnings = _permission(opened, run, settings)
    if null_run is not None:
        require_nulls(run, [null_run], opened)
    asked = moves(run, opened, settings, gene_sets)
    if not (settings.rated or settings.pairs or asked):
        raise SettingError("nothing is asked", remedy="give rated, pairs or property_pairs above 0")
    progress("looking for copies of training lesions", 0, 0)
    audit = copies(run, opened, settings.seed, evaluation)
    if audit.found or not (audit.tested or opened.simulated):
        warnings.append(audit.require_none(run, anyway=settings.anyway))
    secret = _secret(run, opened, settings, null_run)
    rng = np.random.default_rng(np.frombuffer(secret, np.uint32))
    progress("drawing and matching lesions", 0, 0)
    items, about = _drawn_or_real(run, opened, settings, rng, progress)
    progress("drawing pairs that genes make differ", 0, 0)
    items += _high(run, null_run, opened, asked, settings, rng)
    order = rng.permutation(len(items))
    names = {hashlib.sha256(secret + bytes([1]) + int(k).to_bytes(4)).hexdigest()[:8]: items[k] for k in order}
    record = {
        "title": settings.title, "settings": asdict(settings), "radiogenesis": __version__,
        "run": run.path.resolve().name,
        "method": run.method_name, "weights": file_digest(run.path / "weights.safetensors"),
        "null_run": None if null_run is None else null_run.path.resolve().name, "cohort_digest": opened.digest,
        "copies": asdict(audit), "warnings": list(warnings), **about,
    }  # fmt: skip
    name = hashlib.sha256(secret + bytes([2])).hexdigest()[:10]
    return Study(name, settings, names, opened.pixels, opened.pixel_mm, record, tuple(warnings))


def _permission(cohort: Cohort, run: Run, settings: StudySettings) -> list[str]:
    """What the page says of the people in it. Raises SettingError for real patients without permission."""
    if cohort.simulated:
        return []
    if not settings.real_patients:
        raise SettingError(
            f"{cohort.path} is a cohort of real patients: the page would hold images of {len(run.split.test)} of them",
            remedy="if the readers may see them, give --real_patients true, which the page then says",
        )
    return [
        f"This file holds CT images of {len(run.split.test)} real patients, without names. Give it to nobody but the "
        "readers of this study, and delete it afterwards."
    ]


def _secret(run: Run, cohort: Cohort, settings: StudySettings, null_run: Run | None) -> bytes:
    """Where all chance comes from: the same for the same study, and unknown to who lacks the run's weights."""
    weights = [file_digest(one.path / "weights.safetensors") for one in (run, null_run) if one is not None]
    return hashlib.sha256(json_digest([weights, cohort.digest, asdict(settings)]).encode()).digest()


def _drawn_or_real(
    run: Run, cohort: Cohort, settings: StudySettings, rng: np.random.Generator, progress: Progress
) -> tuple[list[Item], dict[str, Any]]:
    """The first two tasks, and what the key says of them: simple cues, the network."""
    kinds = REAL_KINDS[settings.real]
    rated, pairs, controls = settings.rated, settings.pairs, settings.controls
    if not rated and not pairs:
        return [], {}
    backgrounds, whose = material.held_out_backgrounds(run, cohort)
    drawn, real = material.twins(run, cohort, run.split.test, backgrounds, 2 * rated + pairs + controls, rng)
    material.require(drawn, rated or pairs, "matched pairs")
    # Drawings and pasted lesions that are rated lie on backgrounds of their own: none can be told by its twin.
    share = len(drawn) / (2 * rated + pairs + controls)
    each, few = int(rated * share), int(controls * share)
    one, two, three = each, 2 * each, 2 * each + few
    shown = {"drawn": drawn[:one], "pasted": real[one:two], "control": material.shuffled(real[two:three], rng)}
    if "original" in kinds:
        shown["original"] = material.originals(cohort, run.split.test, drawn, each)
    rest = slice(three, three + int(pairs * share))
    judge, network = None, {}
    if settings.network_steps:
        pools = training_images(run, cohort, kinds, rng)
        judge = train_judge(
            pools[0], pools[1:], settings.network_steps, settings.seed,
            lambda done, total: progress("training the network that tells drawn from real", done, total),
        )  # fmt: skip
    items = []
    for kind in ("drawn", *kinds, "control"):
        scores = judged(judge, shown[kind].image) if judge else np.full(len(shown[kind]), np.nan)
        items += _rate(shown[kind], kind, scores)
    items += _pick(drawn[rest], real[rest], rng)
    compared = {kind: shown[kind] for kind in kinds if _patients(shown["drawn"]) > 1 and _patients(shown[kind]) > 1}
    if judge:
        network = {kind: _network_auc(judge, shown["drawn"], real_ones) for kind, real_ones in compared.items()}
    told = {
        kind: {cue: {"auc": auc, "p": p} for cue, (auc, p) in material.cues(shown["drawn"], real_ones).items()}
        for kind, real_ones in compared.items()
    }
    return items, {"backgrounds_of": whose, "real": list(kinds), "cues": told, "network": network}


def _patients(images: material.Images) -> int:
    return len(set(images.patient))


def _network_auc(judge: Any, drawn: material.Images, real: material.Images) -> dict[str, float]:
    """The network's AUC on held-out images with its interval over patients."""
    scores = np.concatenate([judged(judge, drawn.image), judged(judge, real.image)])
    positive = np.arange(len(scores)) < len(drawn)
    owner = np.concatenate([drawn.patient, real.patient])
    found = auc_of_readers(scores[None], positive, owner[None] == np.unique(owner)[:, None])
    assert np.isclose(found.value, roc_auc_score(positive, scores))
    return {"auc": found.value, "low": found.low, "high": found.high, "patients": found.patients}


def _rate(images: material.Images, kind: str, scores: NDArray[np.float64]) -> list[Item]:
    return [
        Item(
            "rate", (images.image[k],), "",
            {
                "kind": kind, "patients": [str(images.patient[k])], "background": int(images.background[k]),
                "slice": int(images.row[k]), "network": float(scores[k]),
            },
        )
        for k in range(len(images))
    ]  # fmt: skip


def _sides(one: NDArray[np.int16], other: NDArray[np.int16], rng: np.random.Generator) -> tuple[Any, str]:
    """Two images as A and B by lot, and which of the two is `one`."""
    first = bool(rng.integers(2))
    return ((one, other) if first else (other, one)), "A" if first else "B"


def _pick(drawn: material.Images, real: material.Images, rng: np.random.Generator) -> list[Item]:
    items = []
    for k in range(len(drawn)):
        images, right = _sides(drawn.image[k], real.image[k], rng)
        truth = {
            "kind": "pair", "right": right, "patients": sorted({str(drawn.patient[k]), str(real.patient[k])}),
            "background": int(drawn.background[k]), "slice": int(real.row[k]),
        }  # fmt: skip
        items.append(Item("drawn", images, "", truth))
    return items


def _high(
    run: Run, null_run: Run | None, cohort: Cohort, asked: Sequence[Any], settings: StudySettings,
    rng: np.random.Generator,
) -> list[Item]:  # fmt: skip
    """The third task: the same pairs drawn by the run, and by the run with shuffled genes."""
    items: list[Item] = []
    if not asked:
        return items
    backgrounds, _ = material.held_out_backgrounds(run, cohort)
    count = len(asked) * settings.property_pairs
    patients = np.resize(rng.permutation(np.array(run.split.test)), count)
    where = np.resize(rng.permutation(backgrounds), count)
    for m, move in enumerate(asked):
        part = slice(m * settings.property_pairs, (m + 1) * settings.property_pairs)
        seed = int(rng.integers(2**31))
        for control, drawer in ((False, run), (True, null_run)):
            if drawer is None:
                continue
            made = moved_pairs(drawer, cohort, move, patients[part], where[part], seed)
            items += [_high_item(made, k, move.name, move.question, control, rng) for k in range(len(made.low))]
    return items


def _high_item(made: MovedPairs, k: int, name: str, question: str, control: bool, rng: np.random.Generator) -> Item:
    images, right = _sides(made.high.image[k], made.low.image[k], rng)
    truth = {
        "kind": "moved", "right": right, "patients": [str(made.high.patient[k])],
        "background": int(made.high.background[k]), "property": name, "control": control,
        "measured": None if np.isnan(made.right[k]) else float(made.right[k]),
    }  # fmt: skip
    return Item("high", images, question, truth)
