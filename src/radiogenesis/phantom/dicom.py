"""Phantom patients as DICOM or NIfTI and a table of expression, so that the whole reading path can be tried."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cohort.dicom.writer import write_scan
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.csv_files import write_csv
from radiogenesis.output import whole_folder
from radiogenesis.phantom.patient import make_scans
from radiogenesis.phantom.phantom import Plan

EXPRESSION = "expression.csv"


def write_dicom(folder: Path, plan: Plan, count: int) -> None:
    """Write `folder`/PATIENT/ct-0001.dcm ..., seg.dcm for the first patients, and `folder`/expression.csv for all.

    `radiogenesis cohort build FOLDER COHORT --expression FOLDER/expression.csv` reads it back.

    Args:
        folder: must not exist; whole or not at all.
        plan: the cohort.
        count: patients to write.
    """
    with whole_folder(folder) as partial:
        for patient in plan.patients[:count]:
            scan, _ = make_scans(patient)
            where = partial / patient.patient
            write_scan(scan, where, synthetic=True, description="phantom", uid_seed=f"phantom {patient.seed}")
        write_csv(plan.expression.to_df(), partial / EXPRESSION, index_label="patient")


def write_pairs(folder: Path, plan: Plan, count: int) -> None:
    """Write `folder`/PATIENT/image.nii.gz and mask.nii.gz for the first patients, and the table for all, likewise.

    Lungs are in HU. Brains have the scale of their scanner: `cohort build --organ brain --normalize zscore`.
    """
    with whole_folder(folder) as partial:
        for patient in plan.patients[:count]:
            scan, _ = make_scans(patient)
            where = partial / patient.patient
            where.mkdir()
            write_nifti(where / "image.nii.gz", scan.hu, scan.affine)
            write_nifti(where / "mask.nii.gz", scan.tumor_mask, scan.affine)
        write_csv(plan.expression.to_df(), partial / EXPRESSION, index_label="patient")
