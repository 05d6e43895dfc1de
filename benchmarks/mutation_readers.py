"""Every reader, with the smallest input that it reads: what `mutations.py` damages, and what is read of it.

A reader is a name, what makes its input in a folder, which files of it are damaged, and what it reads: a mapping from
names to texts (digests, ids, counts) that are the same whenever the input is. What is said beside the values goes to
standard output, to standard error, or under the key "said".
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from mutation_inputs import (
    PATIENTS,
    SMALL,
    run_command,
    write_aim,
    write_clinical,
    write_gmt,
    write_itk,
    write_layouts,
    write_manifest,
    write_pairs,
    write_parts,
    write_results,
    write_rtstructs,
    write_series,
    write_settings,
    write_stopped,
    write_tables,
    write_toy,
)
from radiogenesis.api.runs import train  # noqa: F401  imported once, not in every fork
from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.cohort import build, patient_parts
from radiogenesis.cohort.build import build_cohort
from radiogenesis.cohort.expression import TableSettings
from radiogenesis.cohort.loading import Loaded, Tables
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort, PatientData
from radiogenesis.cohort.tables.radiomics import read_radiomics
from radiogenesis.cohort.workers import BuildSettings
from radiogenesis.mapping.conventional.enrichment import read_gmt
from radiogenesis.testing import train_toy
from radiogenesis.training.run import Run

BUILD = ["--pixels", "16", "--background_centers", "0", "--slices_per_center", "2", "--workers", "1"]
Values = dict[str, str]


def without_pictures() -> None:
    """In this fork previews are empty files: they are not read, and take most of the time of a small build. Nor is what
    a cohort holds printed: that is no word about what is wrong."""

    def blank(path: Path, *_: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    patient_parts.write_preview = blank
    Cohort.describe = lambda self: ""


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        make: writes the input into a new folder.
        files: patterns of the files that are damaged.
        read: what is read of the input; the second folder is for what is written.
        checked: patterns of the files of which digests that lie beside them tell any change.
        free: whether a cell of the tables may hold anything, and lines be of any length.
        of_one: whether a file belongs to one patient: then it must not end the command for the others.
        goes_on: whether the command goes on in the input's folder, and may write there.
    """

    make: Callable[[Path], None]
    files: tuple[str, ...]
    read: Callable[[Path, Path], Values]
    checked: tuple[str, ...] = ()
    free: bool = False
    of_one: bool = False
    goes_on: bool = False


def digest(*values: Any) -> str:
    """Of arrays, frames and texts."""
    hashed = hashlib.sha256()
    for value in values:
        if isinstance(value, pd.DataFrame):
            value = value.to_csv()
        hashed.update(value.tobytes() if isinstance(value, np.ndarray) else str(value).encode("utf-8", "replace"))
    return hashed.hexdigest()[:16]


def every_file(out: Path, *patterns: str) -> Values:
    """Digests of files, that of the date left out."""
    files = [path for pattern in patterns or ("*",) for path in sorted(out.rglob(pattern))]
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in files
        if path.is_file() and path.name != "made.json"
    }


# ---- scans ----


class Kept:
    """In the place of the store that a build writes, which takes most of the time: all that would be in it."""

    def __init__(self, out: Path, *, settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        self.patients: list[PatientData] = []
        self.skipped = provenance["skipped"]
        self.audit = pd.DataFrame()

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None: ...

    def add(self, patient: PatientData) -> None:
        self.patients.append(patient)

    def finish(self, *, audit: pd.DataFrame, **tables: Any) -> Kept:
        self.audit = audit
        return self


def read_scans(given: Path, out: Path) -> Values:
    """Everything of a build but the writing of the store."""
    without_pictures()
    build.CohortWriter = Kept
    kept: Any = build_cohort(given, out / "c.zarr", sampling=SMALL, build=BuildSettings(workers=1))
    values = {"said": kept.audit[["patient", "status", "reason"]].astype(str).to_csv(index=False) + str(kept.skipped)}
    for one in kept.patients:
        if one.slices is not None:
            values[one.patient] = digest(one.slices.image, one.slices.mask, one.spacing_mm, one.tumor_volume_ml)
            if not 0.1 < one.tumor_volume_ml < 100:
                values["doubt"] = f"a tumor of {one.tumor_volume_ml} ml"
    return values


def built(raw: str, *more: str) -> Callable[[Path, Path], Values]:
    """`cohort build` of a folder or a manifest in the input."""

    def read(given: Path, out: Path) -> Values:
        without_pictures()
        words = ["--manifest", given / raw] if raw else [given]
        run_command("cohort", "build", *words, out / "c.zarr", *BUILD, *more)
        return of_cohort(Cohort.open(out / "c.zarr"))

    return read


def of_cohort(cohort: Cohort) -> Values:
    """Everything in a cohort; what its audit and its tables say beside it."""
    patients = cohort.patients
    volume = next((patients[name] for name in patients if "volume" in name), None)
    values = {
        f"slices {one}": digest(cohort.lesions([one]).image, cohort.lesions([one]).mask)
        for one in sorted(set(cohort.slice_patient))
    }
    values |= {"backgrounds": digest(cohort.background_image), "expression": of_expression(cohort.expression)}
    tables = {"clinical": cohort.clinical, "annotations": cohort.annotations, "codes": cohort.annotation_codes}
    values |= {name: digest(frame) for name, frame in tables.items() if frame is not None}
    values["geometry"] = f"{cohort.pixels} {cohort.field_of_view_mm} {cohort.imaging}"
    if volume is not None and not volume.dropna().between(0.1, 100).all():
        values["doubt"] = f"tumors of {volume.tolist()} ml"
    audit = cohort.audit[["patient", "status", "reason"]].astype(str)
    said = [*cohort.expression.uns.get("remarks", []), str(cohort.provenance.get("skipped"))]
    return values | {"said": audit.to_csv(index=False) + "\n".join(map(str, said))}


def of_expression(expression: AnnData) -> str:
    """Patients, genes and values."""
    return digest(
        list(expression.obs_names), list(expression.var_names), np.asarray(expression.X), expression.uns.get("log")
    )


# ---- tables ----


def loaded(**files: str) -> Callable[[Path, Path], Values]:
    """The tables as `cohort build` reads them."""

    def read(given: Path, out: Path) -> Values:
        tables = Tables(**{name: given / file for name, file in files.items()})
        found = Loaded.read(tables, set(PATIENTS), None, out / "id_map.csv")
        values = {"expression": of_expression(found.expression)}
        if found.clinical is not None:
            values["clinical"] = digest(found.clinical)
        said = [*found.expression.uns.get("remarks", []), *found.remarks().values()]
        if found.annotations is not None:
            values["annotations"] = digest(found.annotations.features, found.annotations.codes)
            said += [f"{path.name}: {why}" for path, why in found.annotations.skipped]
        if found.expression.X is not None and np.isinf(np.asarray(found.expression.X)).any():
            values["doubt"] = "infinite expression"
        return values | {"said": "\n".join(said)}

    return read


def read_sets(given: Path, out: Path) -> Values:
    """GMT."""
    return {"sets": digest(read_gmt(given / "sets.gmt"))}


def read_features(given: Path, out: Path) -> Values:
    """A table of radiomics."""
    return {"features": digest(read_radiomics(given / "radiomics.csv", patients=PATIENTS))}


# ---- our own folders ----


def read_store(given: Path, out: Path) -> Values:
    """A cohort, part by part as commands read it; then `cohort describe --verify`, which must see as much."""
    without_pictures()
    values = of_cohort(Cohort.open(given / "toy.zarr"))
    run_command("cohort", "describe", given / "toy.zarr", "--verify")
    return values


def read_run(given: Path, out: Path) -> Values:
    """Lesions that a run draws, its losses, its patients."""
    run_command("synthesize", given / "gan", out / "drawn", "--formats", "npz", "--per_patient", "1")
    run = Run.open(given / "gan")
    return every_file(out / "drawn", "*.npz") | {"metrics": digest(run.metrics), "split": digest(run.split)}


def read_stopped(given: Path, out: Path) -> Values:
    """What the training comes to when it goes on."""
    run = train_toy(
        "inpainting-gan", Cohort.open(given / "toy.zarr"), given / "run", steps=2, checkpoint_every=1, resume=True
    )
    return every_file(run.path, "weights.safetensors", "split.json", "genes.json")


def read_parts(given: Path, out: Path) -> Values:
    """The same build again."""
    without_pictures()
    run_command("cohort", "build", given / "raw", given / "c.zarr", *BUILD)
    return of_cohort(Cohort.open(given / "c.zarr"))


def read_explored(given: Path, out: Path) -> Values:
    """The page with sliders; its generator, which comes of the run alone and takes seconds, is left out."""
    from radiogenesis.explorer import content

    content.generator_onnx = lambda method: b""
    run_command(
        "explore", given / "gan", out / "page.html", "--map", given / "map", "--evaluation", given / "evaluation",
        "--gmt", given / "sets.gmt", "--noises", "2",
    )  # fmt: skip
    return every_file(out)


def read_page(given: Path, out: Path) -> Values:
    """`report` on a map, and the map as Python has it. A file from outside of the folder in the page is a leak."""
    import radiogenesis as rg

    (given.parent / "secret.txt").write_text("SECRET-FROM-OUTSIDE")
    shutil.copytree(given / "map", out / "map", symlinks=True, copy_function=_copied)
    run_command("report", out / "map")
    text = (out / "map" / "report.html").read_text(encoding="utf-8", errors="replace")
    found = rg.open_map(out / "map")
    tables = {name: digest(found.table(name)) for name in found.tables}
    leak = {"doubt": "a file from outside in the page"} if "SECRET-FROM-OUTSIDE" in text or "root:x:" in text else {}
    return {"page": digest(text), "conclusions": digest(found.conclusions)} | tables | leak


def _copied(source: str, target: str) -> str:
    """A copy; what is no file stays as it is, under its own name."""
    if Path(source).is_file():
        return shutil.copy2(source, target)
    Path(target).symlink_to(source)
    return target


def read_answers(given: Path, out: Path) -> Values:
    """`readers analyze`."""
    answers = [given / "reader-0.csv", given / "reader-1.csv"]
    run_command("readers", "analyze", *answers, out / "analysis", "--key", given / "study.key.json")
    return every_file(out / "analysis", "*.csv")


def read_settings(given: Path, out: Path) -> Values:
    """`--config FILE`."""
    kinds = (TableSettings, ReadSettings, SamplingSettings, BuildSettings)
    options = parser("cohort build", "")
    for kind in kinds:
        add_settings(options, kind)
    parsed = options.parse(["--config", str(given / "settings.yaml")])
    return {kind.__name__: str(settings_from(parsed, kind)) for kind in kinds}


SCANS = ("*.nii", "*.nii.gz", "*.nrrd", "*.mha", "*.dcm")
READERS: Mapping[str, Reader] = {
    "nifti": Reader(write_pairs, SCANS, read_scans, of_one=True),
    "nrrd-metaimage": Reader(write_itk, SCANS, read_scans, of_one=True),
    "dicom-ct": Reader(write_series, ("*/ct-*.dcm",), read_scans, of_one=True),
    "dicom-seg": Reader(write_series, ("*/seg.dcm",), read_scans, of_one=True),
    "dicom-rtstruct": Reader(write_rtstructs, ("*/rtstruct.dcm",), read_scans, of_one=True),
    "layouts": Reader(write_layouts, ("images/dataset.json", "cohort.yaml", "fetch.json"), built("")),
    "manifest": Reader(write_manifest, ("scans.csv",), built("scans.csv")),
    "organ-mask": Reader(write_manifest, ("*o.nii.gz",), built("scans.csv"), of_one=True),
    "expression-csv": Reader(write_tables, ("genes.csv",), loaded(expression="genes.csv")),
    "expression-tsv-gz": Reader(write_tables, ("genes.tsv.gz",), loaded(expression="genes.tsv.gz")),
    "expression-gct": Reader(write_tables, ("genes.gct",), loaded(expression="genes.gct")),
    "expression-xlsx": Reader(write_tables, ("genes.xlsx",), loaded(expression="genes.xlsx")),
    "series-matrix": Reader(write_tables, ("GSE1*",), loaded(expression="GSE1_series_matrix.txt.gz")),
    "h5ad": Reader(write_tables, ("dense.h5ad",), loaded(expression="dense.h5ad")),
    "h5ad-sparse": Reader(write_tables, ("sparse.h5ad",), loaded(expression="sparse.h5ad")),
    "aim": Reader(write_aim, ("aim/*.xml",), loaded(annotations="aim"), of_one=True),
    "clinical": Reader(write_clinical, ("clinical.csv",), loaded(clinical="clinical.csv"), free=True),
    "id-map": Reader(write_clinical, ("ids.csv",), loaded(expression="genes.csv", id_map="ids.csv")),
    "gene-sets": Reader(write_gmt, ("sets.gmt",), read_sets, free=True),
    "radiomics": Reader(write_gmt, ("radiomics.csv",), read_features),
    "cohort-store": Reader(write_toy, ("toy.zarr/**/*",), read_store, checked=("*",)),
    "parts": Reader(write_parts, ("c.zarr.parts/*.npz",), read_parts, goes_on=True),
    "run": Reader(write_results, ("gan/*.*",), read_run, checked=("*.yaml", "*.json", "*.safetensors")),
    "checkpoints": Reader(write_stopped, ("run/*.*", "run/checkpoints/*"), read_stopped, goes_on=True),
    "map-page": Reader(write_results, ("map/*", "map/tables/*", "map/pictures/*"), read_page, free=True),
    "explorer": Reader(
        write_results, ("map/page.json", "map/tables/*", "evaluation/*.json", "evaluation/tables/*"), read_explored
    ),
    "reader-study": Reader(write_results, ("reader-*.csv", "study.key.json"), read_answers, checked=("*.json",)),
    "config": Reader(write_settings, ("settings.yaml",), read_settings),
}
