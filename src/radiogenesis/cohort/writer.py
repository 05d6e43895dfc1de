"""Writing a cohort, patient by patient, whole or not at all."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import zarr
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort import digest as content
from radiogenesis.cohort import layout, zarr_tables
from radiogenesis.cohort.layout import SCHEMA_VERSION, WITH_LESIONS
from radiogenesis.cohort.sampling.lesions import LesionRows
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.store import BY_PATIENT, Cohort, PatientData, Truth
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.output import check_place, new_partial, take_place
from radiogenesis.version import __version__

_LIBRARIES = ("anndata", "numpy", "pandas", "zarr", "scipy", "scikit-image", "pydicom", "highdicom", "nibabel")
_NODULE_SLICES, _WHOLE_SLICES = 20, 80  # of a patient, about
_LESION_COLUMNS = ["patient", "lesion", "name", "volume_ml", "x_mm", "y_mm", "z_mm", "n_slices"]
_NOBODY = PatientData("", None, None, Acquisition(), (0.0, 0.0, 0.0), float("nan"))


class CohortWriter:
    """Writes a cohort patient by patient beside its final place, and renames it there when it is whole.

    Peak memory does not depend on the number of patients. Leaving the `with` block without `finish` removes what was
    written. The same patients must come in the same order for the same digest.

        with CohortWriter(path, settings={"sampling": asdict(sampling)}, provenance={"verb": "cohort build"}) as writer:
            for data in patients:
                writer.add(data)
            cohort = writer.finish(expression=expression, audit=audit)

    Args:
        path: the cohort's folder; must not exist yet.
        settings: JSON-able; `settings["sampling"]` holds the SamplingSettings (pixels, field_of_view_mm), and
            `settings["imaging"]` the Imaging where it is not CT of the lung.
        provenance: JSON-able; versions and the time are added here.

    Raises:
        OutputError: something is already at `path`.
    """

    def __init__(
        self, path: str | Path, *, settings: Mapping[str, Any], provenance: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        check_place(self.path)
        sampling = settings.get("sampling", {})
        if not {"pixels", "field_of_view_mm"} <= set(sampling):
            raise ValueError('settings["sampling"] must hold pixels and field_of_view_mm')
        self._pixels, whole = int(sampling["pixels"]), int(sampling.get("whole_pixels", 0))
        self._every_lesion = sampling.get("lesions") == "all"
        self._attributes: dict[str, Any] = {
            "format": layout.FORMAT,
            "schema_version": WITH_LESIONS if self._every_lesion else SCHEMA_VERSION,
            "pixels": self._pixels,
            "field_of_view_mm": float(sampling["field_of_view_mm"]),
            "settings": json.loads(json.dumps(dict(settings))),
            "provenance": {**json.loads(json.dumps(dict(provenance or {}))), **versions()},
        }
        imaging = Imaging.read(settings["imaging"]) if "imaging" in settings else LUNG_CT
        if imaging != LUNG_CT:  # the digest covers what is in the attributes, and cohorts of lungs have theirs
            self._attributes["imaging"] = json.loads(json.dumps(asdict(imaging)))
        if whole:
            self._attributes |= {"whole_pixels": whole, "whole_field_mm": float(sampling["whole_field_mm"])}
        self._patients: list[dict[str, Any]] = []
        self._lesions: list[dict[str, Any]] = []
        self._partial = new_partial(self.path)
        self._group = zarr.open_group(self._partial, mode="w", zarr_format=3)
        self._digests: dict[str, str] = {}
        self._arrays = {
            name: layout.GrowingArray(self._group, name, *kind)
            for name, kind in layout.arrays(self._pixels, whole, every_lesion=self._every_lesion).items()
        }

    def __enter__(self) -> CohortWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)  # renamed by now if all went well

    def add(self, data: PatientData) -> None:
        """Append one patient. Raises ValueError for a patient who is already in, or images of another size."""
        if any(row["patient"] == data.patient for row in self._patients):
            raise ValueError(f"patient {data.patient} was already added")
        code = len(self._patients)
        if data.slices is not None:
            values = {"image": data.slices.image, "mask": data.slices.mask, "offset_mm": data.slices.offset_mm}
            if self._every_lesion:
                lesions = data.lesions or _only_one(data)
                values["lesion"] = lesions.of
                self._lesions += _lesion_rows(data.patient, lesions)
            self._append("slices", values, code)
        if data.backgrounds is not None:
            background = data.backgrounds
            values = {
                "image": background.image,
                "center_mm": background.center_mm,
                "boundary_mm": background.boundary_mm,
            }
            self._append("backgrounds", values, code)
        if data.whole is not None:
            scans = {layout.STORED.get(name, name): block for name, block in vars(data.whole).items()}
            self._append("scans", scans, code)
        self._patients.append(_patient_row(data))

    def _append(self, kind: str, values: Mapping[str, NDArray[Any]], code: int) -> None:
        rows = {len(block) for block in values.values()}
        if len(rows) > 1:
            raise ValueError(f"{kind}: { ({name: block.shape for name, block in values.items()}) } differ in length")
        for name, block in values.items():
            self._arrays[f"{kind}/{name}"].append(block)
        self._arrays[f"{kind}/patient"].append(np.full(rows.pop(), code, np.int32))

    def finish(
        self,
        *,
        expression: AnnData,
        audit: pd.DataFrame,
        annotations: pd.DataFrame | None = None,
        annotation_codes: pd.DataFrame | None = None,
        clinical: pd.DataFrame | None = None,
        truth: Truth | None = None,
    ) -> Cohort:
        """Write the tables and the digest, rename the store to its place, and open it.

        Args:
            expression: patients x genes, raw values, NaN allowed; patients without images may be in it.
            audit: columns patient, status ("in", "background only", "out"), reason.
            annotations: patients x semantic features, index patient.
            annotation_codes: tidy: feature, label, code, scheme: what the labels in `annotations` stand for.
            clinical: patients x clinical columns, index patient.
            truth: what was planted.
        """
        with_expression = set(map(str, expression.obs_names))
        columns = list(_patient_row(_NOBODY))
        patients = pd.DataFrame(self._patients, columns=columns).set_index("patient")
        patients.insert(2, "has_expression", [patient in with_expression for patient in patients.index])
        frames = {
            "patients": patients,
            "audit": audit[["patient", "status", "reason"]],
            "annotations": annotations,
            "annotation_codes": annotation_codes,
            "clinical": clinical,
        }
        if self._every_lesion:
            frames["lesions"] = pd.DataFrame(self._lesions, columns=_LESION_COLUMNS)
        if truth is not None:
            frames |= {"truth/factors": truth.factors, "truth/gene_effects": truth.gene_effects}
            frames |= {"truth/modules": truth.modules}
        for name, frame in frames.items():
            if frame is not None:
                self._write_frame(name, frame)
        if truth is not None:
            self._group["truth"].attrs["settings"] = truth.settings
            self._digests["truth/settings"] = content.json_digest(truth.settings)
        self._write_expression(expression)
        self._digests |= {name: array.hash.hexdigest() for name, array in self._arrays.items()}
        self._attributes["parts"] = self._digests
        self._attributes["digest"] = content.cohort_digest(layout.facts(self._attributes), self._digests)
        self._group.attrs.update(self._attributes)
        take_place(self._partial, self.path)
        return Cohort.open(self.path)

    def _write_frame(self, name: str, frame: pd.DataFrame) -> None:
        plain = zarr_tables.storable(frame if name in BY_PATIENT else frame.reset_index(drop=True))
        zarr_tables.write_frame(self._group, name, plain)
        self._digests[name] = content.frame_digest(plain)

    def _write_expression(self, expression: AnnData) -> None:
        plain = zarr_tables.storable_expression(expression)
        zarr_tables.write_expression(self._group, "expression", plain)
        self._digests["expression"] = zarr_tables.expression_digest(plain, scale=True)


def room_of(patients: int, sampling: SamplingSettings) -> int:
    """Bytes that the images of so many patients may take, before they are compressed."""
    slices = _NODULE_SLICES + sampling.background_centers * sampling.slices_per_center
    whole = _WHOLE_SLICES * sampling.whole_pixels**2
    return patients * 2 * (slices * sampling.pixels**2 + whole)


def versions() -> dict[str, str]:
    """Provenance that every cohort carries: who wrote it, with what, when (UTC)."""
    known = {"radiogenesis": __version__, "python": platform.python_version()}
    known |= {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return known | {"created": datetime.now(UTC).isoformat(timespec="seconds")}


def _only_one(data: PatientData) -> LesionRows:
    """The lesion of a patient who has one: of phantoms and planted cohorts, which know of no others."""
    assert data.slices is not None
    of = np.ones(len(data.slices.image), np.int32)
    return LesionRows(of, np.array([""]), np.array([data.tumor_volume_ml]), data.slices.center_mm[None])


def _lesion_rows(patient: str, lesions: LesionRows) -> list[dict[str, Any]]:
    """The rows of the table `lesions`."""
    counts = np.bincount(lesions.of, minlength=len(lesions.name) + 1)[1:]
    cells = zip(lesions.name, lesions.volume_ml, lesions.center_mm, counts, strict=True)
    return [
        dict(
            zip(_LESION_COLUMNS, (patient, number, str(name), float(ml), *map(float, center), int(count)), strict=True)
        )
        for number, (name, ml, center, count) in enumerate(cells, start=1)
    ]


def _patient_row(data: PatientData) -> dict[str, Any]:
    """One row of the table `patients`."""
    center = np.full(3, np.nan) if data.slices is None else data.slices.center_mm
    acquisition = data.acquisition
    return {
        "patient": data.patient,
        "n_slices": 0 if data.slices is None else len(data.slices.image),
        "n_backgrounds": 0 if data.backgrounds is None else len(data.backgrounds.image),
        "tumour_volume_ml": float(data.tumor_volume_ml),
        **{f"tumour_{axis}_mm": float(value) for axis, value in zip("xyz", center, strict=True)},
        "manufacturer": acquisition.manufacturer,
        "model": acquisition.model,
        "kernel": acquisition.kernel,
        "slice_thickness_mm": float(acquisition.slice_thickness_mm),
        "kvp": float(acquisition.kvp),
        "study_date": acquisition.study_date,
        "series_uid": acquisition.series_uid,
        "frame_of_reference_uid": acquisition.frame_of_reference_uid,
        "spacing_z_mm": float(data.spacing_mm[0]),
        "spacing_xy_mm": float(data.spacing_mm[1]),
        "chosen_because": acquisition.chosen_because,
    }
