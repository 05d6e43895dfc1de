"""What the page holds: the generator, backgrounds, patients' gene codes, noise, and the moves with their evidence.

No expression value and no patient's image is in it, but for the backgrounds. Patients of a real cohort are numbered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiogenesis.cohort.digest import file_digest
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError, SettingError
from radiogenesis.evaluation.copies import copies
from radiogenesis.explorer import moves as of
from radiogenesis.explorer.graph import drawer_of, generator_onnx
from radiogenesis.explorer.moves import MapTables, Move
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.mapping.synthesis.perturbation import linear_code
from radiogenesis.mapping.synthesis.runs import require_nulls
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.reporting.model import Page
from radiogenesis.training.data import untrained_backgrounds
from radiogenesis.training.run import Run
from radiogenesis.version import __version__
from radiogenesis.window import WINDOW_HU

MEAN = "mean of the training patients"
"""The first that can be chosen: nobody's genes."""


@dataclass(frozen=True, kw_only=True)
class ExploreSettings:
    """Settings of `explore`."""

    backgrounds: tuple[int, ...] = ()
    """Rows of the cohort's backgrounds that the page shows. By default six of a phantom's; those of real patients must
    be named here, or taken from another cohort (--backgrounds_from), because the page holds their pictures."""
    patients: tuple[str, ...] = ()
    """Held-out patients to draw for, by default eight; on the page those of a real cohort are numbered."""
    noises: int = 4
    """How many drawings' noise can be chosen."""
    seed: int = 0
    """Of the noise, and of which patients and backgrounds are taken by default."""
    anyway: bool = False
    """Make the page although drawings may be copies of training lesions, or lesions are too small to ask. The page says
    so."""

    def __post_init__(self) -> None:
        if self.noises < 1:
            raise ValueError(f"noises must be at least 1, not {self.noises}")


@dataclass(frozen=True, eq=False)
class Shuffled:
    """A run with shuffled genes: its generator, its patients' codes (n, K) and the moves' (M, K)."""

    name: str
    model: bytes
    patients: NDArray[np.float32]
    moves: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Content:
    """All that the page holds.

    Attributes:
        run: name of the run.
        model: the generator as ONNX; empty where a server draws.
        sides: of the noise maps, coarse to fine; empty without any.
        backgrounds: (B, P, P) int16, of lungs HU.
        background_names: (B,).
        patients: (n, K) gene codes.
        patient_names: (n,) as the page shows them.
        noise: (N, vector and maps) one row per drawing's noise.
        vector: length of the noise vector.
        pixel_mm: side of a pixel.
        moves: the sliders.
        shuffled: the run with shuffled genes, if any.
        remarks: what must be said on the page.
        provenance: name -> value.
        who: name on the page -> patient; this is not on the page.
        imaging: what the backgrounds show, and on which scale.
    """

    run: str
    model: bytes
    sides: tuple[int, ...]
    backgrounds: NDArray[np.int16]
    background_names: tuple[str, ...]
    patients: NDArray[np.float32]
    patient_names: tuple[str, ...]
    noise: NDArray[np.float32]
    vector: int
    pixel_mm: float
    moves: tuple[Move, ...]
    shuffled: Shuffled | None
    remarks: tuple[str, ...]
    provenance: dict[str, str]
    who: dict[str, str]
    imaging: Imaging = LUNG_CT

    @property
    def window(self) -> tuple[float, float]:
        """Numbers that -1 and 1 stand for, of lungs HU."""
        return WINDOW_HU

    @property
    def windows(self) -> dict[str, tuple[str, float, float]]:
        """Key -> label, and the numbers that are black and white."""
        if self.imaging.of_lungs:
            return {
                "lung": ("lung, −1000 to 400 HU", -1000.0, 400.0),
                "soft": ("soft tissue, −160 to 240 HU", -160.0, 240.0),
            }
        return {"whole": (self.imaging.window_text.removeprefix("window "), *WINDOW_HU)}


def content_of(
    run: Run, cohort: Cohort, settings: ExploreSettings, *, tables: Path | None = None,
    gene_sets: dict[str, tuple[str, ...]] | None = None, null_run: Run | None = None, audit: Path | None = None,
    backgrounds_from: Cohort | None = None, exported: bool = True,
) -> Content:  # fmt: skip
    """What the page of a run holds.

    Args:
        run: of the fusion GAN, with a linear gene code.
        cohort: the run's.
        settings: what is shown.
        tables: the folder that `map COHORT OUT --run RUN` wrote; without it nothing is told from chance.
        gene_sets: further sets to move, in the names of the cohort's genes.
        null_run: a run with shuffled genes, for the same move beside it.
        audit: the folder that `evaluate` wrote, whose examination for copies is read; without it, copies are looked for
            here.
        backgrounds_from: another cohort to take backgrounds from.
        exported: with the generators as ONNX; where a server draws they are empty.

    Raises:
        RunError: a method or gene code that a page cannot hold; a map or an evaluation of another run; copies.
        SettingError: unknown patients or backgrounds; backgrounds of real patients that nobody named.
    """
    method = drawer_of(run)
    remarks = _examined(run, cohort, audit, settings)
    found = MapTables.read(tables) if tables else MapTables()
    if tables:
        _require_of(tables, run)
    else:
        remarks += ("No map was given (--map): no slider's effect is told from chance.",)
    training = _training_genes(run, cohort)
    sliders = _sliders(run, method, found, gene_sets or {}, training, cohort.imaging)
    patients = _patients(run, settings)
    shown = _shown_names(patients, cohort)
    genes = run.genes(cohort.expression, patients)
    rows, whose, source = _backgrounds(run, cohort, backgrounds_from, settings)
    noise = method.seeded_noise(0, settings.noises, settings.seed, torch.device("cpu"))
    shuffled = None
    if null_run is not None:
        require_nulls(run, [null_run], cohort)
        shuffled = _shuffled(null_run, cohort, patients, sliders, found.unjudged, gene_sets or {}, exported)
    return Content(
        run.path.resolve().name, generator_onnx(method) if exported else b"", tuple(method.noise_sides),
        source.background_image[rows], tuple(f"background {row}" for row in rows),
        _with_mean(method, training, genes), (MEAN, *shown),
        np.concatenate([part.reshape(settings.noises, -1).numpy() for part in (noise.vector, *noise.maps)], axis=1),
        noise.vector.shape[1], cohort.pixel_mm, tuple(sliders), shuffled, remarks,
        _provenance(run, cohort, settings, whose, tables, null_run), dict(zip(shown, patients, strict=True)),
        cohort.imaging,
    )  # fmt: skip


def _sliders(
    run: Run, method: FusionGAN, found: MapTables, gene_sets: dict[str, tuple[str, ...]], training: NDArray[Any],
    imaging: Imaging,
) -> list[Move]:  # fmt: skip
    """All moves: properties where the code is an alignment's, metagenes and sets, genes. Raises RunError for a gene
    code that is not linear."""
    weights = linear_code(method, training)
    if weights is None:
        raise RunError(
            "its gene code is not linear in the genes, so that a page without Python cannot move a gene", path=run.path,
            remedy="train fusion-gan with --gene_code aligned and an alignment, which is the default",
        )  # fmt: skip
    alignment, names = method.alignment, list(run.scaler.genes)
    aligned = alignment if method.settings.gene_code == "aligned" else None
    return [
        *(of.property_moves(aligned, imaging) if isinstance(aligned, CanonicalAlignment) else []),
        *of.metagene_moves(found, names, training, weights, len(run.split.test)),
        *of.set_moves(gene_sets, found, names, training, weights),
        *of.gene_moves(found, names, training, weights),
    ]


def _training_genes(run: Run, cohort: Cohort) -> NDArray[np.float64]:
    """(t, G) scaled."""
    return run.scaler.transform(cohort.expression, list(run.split.train)).astype(np.float64)


def _shuffled(
    run: Run, cohort: Cohort, patients: Sequence[str], sliders: Sequence[Move], found: MapTables,
    gene_sets: dict[str, tuple[str, ...]], exported: bool,
) -> Shuffled:  # fmt: skip
    """The run with shuffled genes, moved alike; a move that it does not have (a property) stays where it is."""
    method, training = drawer_of(run), _training_genes(run, cohort)
    own = {(m.kind, m.name): m.code for m in _sliders(run, method, found, gene_sets, training, cohort.imaging)}
    codes = _with_mean(method, training, run.genes(cohort.expression, patients))
    still = np.zeros(codes.shape[1], np.float32)
    moved = np.stack([own.get((move.kind, move.name), still) for move in sliders])
    return Shuffled(run.path.resolve().name, generator_onnx(method) if exported else b"", codes, moved)


def _with_mean(method: FusionGAN, training: NDArray[Any], genes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gene codes (1 + n, K) of the training patients' mean and of n patients."""
    mean = training.mean(axis=0, keepdims=True).astype(np.float32)
    return method.encode(np.concatenate([mean, genes]))


def _patients(run: Run, settings: ExploreSettings) -> list[str]:
    held_out = list(run.split.test)
    if unknown := [name for name in settings.patients if name not in held_out]:
        raise SettingError(
            f"patient {unknown[0]} is not held out by {run.path}",
            remedy=f"choose among {', '.join(held_out[:5])}{' ...' if len(held_out) > 5 else ''}",
        )
    if settings.patients:
        return list(settings.patients)
    rng = np.random.default_rng([settings.seed, 0xE8])
    return sorted(rng.choice(held_out, min(8, len(held_out)), replace=False).tolist())


def _shown_names(patients: Sequence[str], cohort: Cohort) -> list[str]:
    """Identifiers of simulated patients; real ones are numbered."""
    if cohort.simulated:
        return [f"{name} (held out)" for name in patients]
    return [f"held-out patient {number}" for number in range(1, len(patients) + 1)]


def _backgrounds(
    run: Run, cohort: Cohort, other: Cohort | None, settings: ExploreSettings
) -> tuple[NDArray[np.intp], str, Cohort]:
    """Rows, whose they are in words, and the cohort that has them."""
    source = other or cohort
    count = len(source.background_image)
    if source.pixels != cohort.pixels or abs(source.pixel_mm - cohort.pixel_mm) > 1e-6:
        raise SettingError(
            f"{source.path} has images of {source.pixels} pixels of {source.pixel_mm:.3g} mm, and the run draws "
            f"{cohort.pixels} of {cohort.pixel_mm:.3g} mm", remedy="make that cohort with the same pixels",
        )  # fmt: skip
    if source.imaging != cohort.imaging:
        raise SettingError(
            f"{source.path} shows {source.imaging.text}, and the run draws {cohort.imaging.text}",
            remedy="give backgrounds of the same",
        )
    if settings.backgrounds:
        rows = np.asarray(settings.backgrounds, np.intp)
        if rows.min() < 0 or rows.max() >= count:
            raise SettingError(f"backgrounds must be between 0 and {count - 1}")
        return rows, f"chosen from {source.path.name}", source
    if not source.simulated:
        raise SettingError(
            f"{source.path} holds scans of real patients, and the page would hold their pictures",
            remedy="name the rows that may be shown with --backgrounds, or give a phantom with --backgrounds_from",
        )
    pool = np.arange(count) if other else untrained_backgrounds(cohort, run.split)[0]
    rng = np.random.default_rng([settings.seed, 0xBA])
    return np.sort(rng.choice(pool, min(6, len(pool)), replace=False)), "of a phantom", source


def _examined(run: Run, cohort: Cohort, audit: Path | None, settings: ExploreSettings) -> tuple[str, ...]:
    """What must be said about copies of training lesions. Raises RunError where they are found or cannot be looked for.

    A phantom's lesions are nobody's: nothing is asked of it.
    """
    if cohort.simulated and audit is None:
        return ()
    return (copies(run, cohort, settings.seed, audit).require_none(run, anyway=settings.anyway),)


def _require_of(tables: Path, run: Run) -> None:
    """Raises RunError where a map was made with other weights than the run's. The first that it names are the run's,
    those after them of runs with shuffled genes."""
    named = [value for name, value in Page.load(tables).provenance if name.startswith("Weights of ")]
    if not named or file_digest(run.path / "weights.safetensors")[:12] not in named[0]:
        raise RunError(f"is a map of another run than {run.path}", path=tables, remedy="give a map made with --run")


def _provenance(
    run: Run, cohort: Cohort, settings: ExploreSettings, whose: str, tables: Path | None, null_run: Run | None
) -> dict[str, str]:
    record = {
        "Run": run.path.resolve().name,
        "Method": run.method_name,
        "Cohort digest": cohort.digest[:12],
        "Weights": f"sha256 {file_digest(run.path / 'weights.safetensors')[:12]}",
        "Trained on": f"{len(run.split.train)} patients; held out {len(run.split.test)}",
        "Backgrounds": whose,
        "Map": tables.name if tables else "none",
        "Run with shuffled genes": null_run.path.name if null_run else "none",
        "Settings": ", ".join(f"{name} {value}" for name, value in asdict(settings).items()),
        "radiogenesis": __version__,
    }
    return {name: value for name, value in record.items() if name != "Settings" or cohort.simulated} | {
        "Seed": str(settings.seed)
    }
