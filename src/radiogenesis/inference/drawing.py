"""What `synthesize` does: draw lesions for chosen genes on chosen backgrounds, and write them in every format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.backends.names import Backend
from radiogenesis.backends.opened import drawn_by
from radiogenesis.cohort.dicom.writer import write_scan
from radiogenesis.cohort.digest import array_digest, file_digest
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.scan import Acquisition, Scan
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, SettingError
from radiogenesis.methods.protocols import Synthesis
from radiogenesis.output import json_text, whole_folder, written
from radiogenesis.reporting.figures import gray, slice_grid
from radiogenesis.training.data import untrained_backgrounds
from radiogenesis.training.run import Run
from radiogenesis.version import __version__

Format = Literal["png", "npz", "nifti", "dicom"]


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """Settings of `synthesize`."""

    per_patient: int = 4
    """Lesions to draw for each patient, each on a background of its own."""
    seed: int = 0
    """Of the noise, and of the choice of backgrounds."""
    formats: tuple[Format, ...] = ("png", "npz")
    """What to write: png (grid as in figure 2), npz (all arrays), nifti, dicom (CT and SEG, marked as synthetic).
    Each drawing is one slice around a lesion, for viewers and archives; `cohort build` reads whole scans only."""
    rows: int = 8
    """Rows of the PNG grid, spread over all drawings; the other formats hold everything."""

    backend: Backend = "torch"
    """What draws. ONNX Runtime (onnx) and OpenVINO draw the fusion GAN faster than torch does on a CPU, and are
    compared with torch before they draw; they need radiogenesis[fast]."""

    def __post_init__(self) -> None:
        if self.per_patient < 1 or self.rows < 1:
            raise ValueError(f"per_patient {self.per_patient} and rows {self.rows} must be at least 1")
        if not self.formats:
            raise ValueError("formats must name at least one of png, npz, nifti, dicom")


def draw(
    run: Run, cohort: Cohort, expression: AnnData, patients: Sequence[str], settings: DrawSettings,
    *, backgrounds: Sequence[int] | None = None,
) -> Synthesis:  # fmt: skip
    """Draw `per_patient` lesions for each patient.

    Args:
        run: a run of a method that draws, on the backend that is to draw (`backends.opened.on_backend`).
        cohort: where the backgrounds come from.
        expression: raw values, in the same unit and with the same genes as the cohort's.
        patients: rows of `expression`.
        settings: how many, and the seed.
        backgrounds: rows of the cohort's backgrounds to choose from; by default those of `untrained_backgrounds`.

    Raises:
        CohortError: the cohort has no backgrounds.
        ExpressionError: a gene that the run was trained on is missing from the table.
        SettingError: patients or backgrounds that do not exist.
    """
    unknown = [name for name in patients if name not in expression.obs_names]
    if unknown:
        raise SettingError(
            f"no expression for patient {', '.join(unknown[:5])}", remedy="choose among the table's patients"
        )
    scaled = run.genes(expression, patients)
    if not len(cohort.background_image):
        raise CohortError("has no backgrounds to draw on", path=cohort.path, remedy="build it with backgrounds")
    pool = untrained_backgrounds(cohort, run.split)[0] if backgrounds is None else np.asarray(backgrounds, int)
    if len(pool) == 0 or pool.min() < 0 or pool.max() >= len(cohort.background_image):
        raise SettingError(f"backgrounds must be between 0 and {len(cohort.background_image) - 1}")
    rng = np.random.default_rng([settings.seed, 0xD4A3])
    rows = np.concatenate([_draw_rows(rng, pool, settings.per_patient) for _ in patients])
    drawn = run.synthesizer().synthesize(
        cohort.background_image[rows], np.repeat(scaled, settings.per_patient, axis=0), seed=settings.seed
    )
    names = tuple(name for name in patients for _ in range(settings.per_patient))
    return replace(drawn, patient=names, background_index=tuple(map(int, rows)))


def _draw_rows(rng: np.random.Generator, pool: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    return rng.choice(pool, count, replace=count > len(pool))


def write(
    drawn: Synthesis, out: Path, run: Run, cohort: Cohort, settings: DrawSettings,
    sources: Mapping[str, object] | None = None,
) -> None:  # fmt: skip
    """Write the drawings into a new folder, whole or not at all; where it does not take them, `written` says where.

    Args:
        sources: what else synthesis.json is to record: where genes and backgrounds come from.

    Raises:
        OutputError: something is already there.
    """
    if "dicom" in settings.formats and not cohort.imaging.in_hu:
        raise SettingError(
            f"formats has dicom, which is written of CT alone, and {cohort.path} has no HU", remedy="write nifti"
        )

    def write_into(path: Path) -> None:
        with whole_folder(path) as partial:
            _write_all(drawn, partial, run, cohort, settings)
            record = _record(drawn, run, cohort, settings) | dict(sources or {})
            (partial / "synthesis.json").write_text(json_text(record), encoding="utf-8")

    written(write_into, out)


def table_record(path: str | Path) -> dict[str, str]:
    """Name and sha256 of an expression table."""
    return {"table": Path(path).name, "sha256": file_digest(Path(path))}


def _write_all(drawn: Synthesis, folder: Path, run: Run, cohort: Cohort, settings: DrawSettings) -> None:
    if "png" in settings.formats:
        write_grid(drawn, folder / "grid.png", settings.rows)
    if "npz" in settings.formats:
        np.savez_compressed(
            folder / "synthesis.npz",
            image=cohort.imaging.level(drawn.image),
            mask=drawn.mask,
            weight=drawn.weight,
            background=cohort.imaging.level(drawn.background),
            patient=np.array(drawn.patient),
            background_index=np.array(drawn.background_index),
            pixel_mm=cohort.pixel_mm,
        )
    # The same drawing gets the same UIDs, another one others: of another run, cohort or seed, or of other genes.
    origin = f"{cohort.digest}/{json.dumps(run.config, sort_keys=True)}/{drawn.seed}"
    for i, name in enumerate(names_of(drawn)):
        scan = as_scan(drawn, i, cohort)
        if "nifti" in settings.formats:
            (folder / "nifti").mkdir(exist_ok=True)
            image = cohort.imaging.level(scan.hu.astype(np.float32))
            image = image.astype(np.int16) if cohort.imaging.as_it_is else image
            write_nifti(folder / "nifti" / f"{name}_image.nii.gz", image, scan.affine)
            write_nifti(folder / "nifti" / f"{name}_mask.nii.gz", scan.tumor_mask.astype(np.uint8), scan.affine)
        if "dicom" in settings.formats:
            write_scan(
                scan,
                folder / "dicom" / name,
                synthetic=True,
                description="nodule drawn from genes",
                uid_seed=f"{origin}/{name}/{array_digest(scan.hu)}/{array_digest(scan.tumor_mask)}",
            )


def _record(drawn: Synthesis, run: Run, cohort: Cohort, settings: DrawSettings) -> dict[str, object]:
    return {
        "run": str(run.path),
        "method": run.method_name,
        "cohort_digest": cohort.digest,
        "settings": asdict(settings),
        "drawn_by": drawn_by(run.method).record(),
        "unit": cohort.imaging.unit,
        "radiogenesis": __version__,
        "drawings": [
            {"name": name, "patient": patient, "background": background}
            for name, patient, background in zip(names_of(drawn), drawn.patient, drawn.background_index, strict=True)
        ],
    }


def write_grid(drawn: Synthesis, path: Path, rows: int) -> None:
    """Background, drawn lesion, weight map and mask of up to `rows` drawings, spread over all (Xu et al., figure 2)."""
    chosen = np.unique(np.linspace(0, len(drawn.image) - 1, min(rows, len(drawn.image))).round().astype(int))
    columns = ("background", "drawn", "weight map", "mask")
    pictures = [
        (drawn.patient[i], (gray(drawn.background[i]), gray(drawn.image[i]), drawn.weight[i], drawn.mask[i]))
        for i in chosen
    ]
    slice_grid(pictures, path, columns=columns)


def names_of(drawn: Synthesis) -> list[str]:
    """A name for each drawing: patient and background."""
    pairs = zip(drawn.patient, drawn.background_index, strict=True)
    return [
        f"{''.join(c if c.isalnum() or c in '-_.' else '_' for c in p)}_background{b}_{i}"
        for i, (p, b) in enumerate(pairs)
    ]


def as_scan(drawn: Synthesis, index: int, cohort: Cohort) -> Scan:
    """One drawing as a scan of one slice, as thick as those of the background's scan, centered at the origin."""
    owner = str(cohort.background_patient[drawn.background_index[index]])
    thickness = float(cohort.patients["spacing_z_mm"][owner])
    half = cohort.field_of_view_mm / 2 - cohort.pixel_mm / 2
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, cohort.pixel_mm], [0, cohort.pixel_mm, 0], [thickness, 0, 0]]
    affine[:3, 3] = [-half, -half, 0]
    hu = np.round(drawn.image[index][None]).astype(np.int16)
    mask = drawn.mask[index][None] >= 0.5
    acquisition = Acquisition(manufacturer="radiogenesis", slice_thickness_mm=thickness)
    return Scan(
        patient=f"SYNTHETIC-{drawn.patient[index]}", hu=hu, affine=affine, masks={"lesion": mask}, tumor="lesion",
        acquisition=acquisition,
    )  # fmt: skip
