"""Expression and clinical data from the Genomic Data Commons.

`POST /files` finds the files of these patients (GDC API User's Guide, "Search and Retrieval": filters, fields, size,
from), `GET /data/UUID` gives one (the same guide, "Downloading Files"), each with the size and MD5 that `/files` told.
A file of STAR counts has one row per gene with `gene_id`, `gene_name`, `gene_type`, `unstranded`, ...,
`tpm_unstranded`, `fpkm_unstranded`, and four summaries (`N_unmapped`, ...) above the genes (GDC documentation, "mRNA
Analysis Pipeline").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.cohort.fetch.http import Client, Remote, safe
from radiogenesis.errors import FetchError
from radiogenesis.output import whole_file

PAGE = 500
UNIT = "tpm_unstranded"
_FIELDS = (
    "file_id,file_name,file_size,md5sum,cases.submitter_id,cases.samples.tissue_type,cases.samples.tumor_descriptor,"
    "cases.samples.sample_type,cases.samples.portions.analytes.aliquots.submitter_id"
)
_CLINICAL = {
    "demographic": ("gender", "sex_at_birth", "race", "ethnicity", "vital_status", "days_to_death", "age_at_index"),
    "diagnoses": (
        "primary_diagnosis", "ajcc_pathologic_stage", "ajcc_pathologic_t", "ajcc_pathologic_n", "ajcc_pathologic_m",
        "tumor_grade", "site_of_resection_or_biopsy", "laterality", "days_to_last_follow_up", "age_at_diagnosis",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """The STAR counts of one patient's tumor.

    Attributes:
        patient: `cases.submitter_id`, the id of the images too.
        aliquot: which piece of the tumor was sequenced.
        file: where it is.
        others: how many further tumor files of the patient were not taken.
    """

    patient: str
    aliquot: str
    file: Remote
    others: int


def find_counts(client: Client, api: str, project: str, patients: Sequence[str]) -> list[Counts]:
    """One file per patient: of a primary tumor before others, then the first by aliquot id.

    Args:
        patients: whose; empty: everybody of the project.

    Raises:
        FetchError: the API does not answer, or not as it is documented.
    """
    wanted = [
        ("cases.project.project_id", [project]),
        ("data_type", ["Gene Expression Quantification"]),
        ("analysis.workflow_type", ["STAR - Counts"]),
        ("access", ["open"]),
    ]
    by_patient: dict[str, list[tuple[bool, str, dict[str, Any]]]] = {}
    for hit in _hits(client, f"{api}/files", wanted, patients, {"fields": _FIELDS}):
        case = hit["cases"][0]
        sample = case["samples"][0]
        if _is_tumor(sample):
            rank = (not _is_primary(sample), _aliquot(sample), hit)
            by_patient.setdefault(case["submitter_id"], []).append(rank)
    counts = []
    for patient, files in sorted(by_patient.items()):
        _, aliquot, hit = min(files, key=lambda ranked: (*ranked[:2], ranked[2]["file_id"]))
        path = f"source/gdc/{safe(patient)}.tsv"
        remote = Remote(f"{api}/data/{hit['file_id']}", path, int(hit["file_size"]), hit["md5sum"])
        counts.append(Counts(patient, aliquot, remote, len(files) - 1))
    return counts


def join_counts(folder: Path, counts: Sequence[Counts], out: Path, *, all_genes: bool) -> None:
    """Write the TPM of all patients as one table: genes (symbols) in rows, patients in columns.

    Raises:
        FetchError: a file is no table of STAR counts, or has other genes than the first.
    """
    columns: dict[str, pd.Series[float]] = {}
    genes: pd.DataFrame | None = None
    for tumor in counts:
        table = _read_counts(folder / tumor.file.path)
        genes = table if genes is None else genes
        if not table["gene_id"].equals(genes["gene_id"]):
            raise FetchError(f"has other genes than that of {counts[0].patient}", path=tumor.file.url)
        columns[tumor.patient] = table[UNIT]
    if genes is None:
        raise FetchError("GDC has no expression of these patients", remedy="see --patients")
    kept = genes["gene_type"].ne("") if all_genes else genes["gene_type"].eq("protein_coding")
    table = pd.DataFrame(columns).set_axis(pd.Index(genes["gene_name"], name="gene"))
    with whole_file(out, suffix=".gz") as partial:
        table[kept.to_numpy()].to_csv(partial, float_format="%.6g", compression={"method": "gzip", "mtime": 0})


def find_clinical(client: Client, api: str, project: str, patients: Sequence[str]) -> pd.DataFrame:
    """Demographics, diagnosis of the primary disease and follow-up, one row per patient. Raises FetchError."""
    rows = []
    wanted = [("project.project_id", [project])]
    asked = {"fields": "submitter_id,project.project_id", "expand": ",".join(_CLINICAL)}
    for case in _hits(client, f"{api}/cases", wanted, patients, asked, who="submitter_id"):
        diagnoses = case.get("diagnoses") or [{}]
        primary = [
            diagnosis
            for diagnosis in diagnoses
            if str(diagnosis.get("diagnosis_is_primary_disease", "")).lower() == "true"
        ]
        parts = {"demographic": case.get("demographic") or {}, "diagnoses": (primary or diagnoses)[0]}
        row = {name: parts[part][name] for part, names in _CLINICAL.items() for name in names if name in parts[part]}
        rows.append({"patient": case["submitter_id"], **row})
    return pd.DataFrame(rows, columns=["patient", *_ordered(rows)]).sort_values("patient", ignore_index=True)


def _hits(
    client: Client,
    url: str,
    wanted: Sequence[tuple[str, Sequence[str]]],
    patients: Sequence[str],
    asked: Mapping[str, str],
    who: str = "cases.submitter_id",
) -> list[dict[str, Any]]:
    """Every hit of a search, page by page."""
    terms = [*wanted, *([(who, patients)] if patients else [])]
    content = [{"op": "in", "content": {"field": field, "value": list(values)}} for field, values in terms]
    hits: list[dict[str, Any]] = []
    while True:
        body = {
            "filters": {"op": "and", "content": content},
            "format": "JSON",
            "size": PAGE,
            "from": len(hits),
            **asked,
        }
        try:
            data = json.loads(client.post(url, body))["data"]
            hits += data["hits"]
            if not data["hits"] or len(hits) >= data["pagination"]["total"]:
                return hits
        except (ValueError, KeyError, TypeError) as error:
            raise FetchError("does not answer like the API of GDC", path=url, remedy="see --gdc") from error


def _is_tumor(sample: Mapping[str, Any]) -> bool:
    """By `tissue_type`; `sample_type`, which it replaced, where that is absent."""
    kind = str(sample.get("tissue_type") or sample.get("sample_type") or "")
    return any(word in kind for word in ("Tumor", "Cancer", "Metastatic")) and "Normal" not in kind


def _is_primary(sample: Mapping[str, Any]) -> bool:
    return str(sample.get("tumor_descriptor") or sample.get("sample_type") or "").startswith("Primary")


def _aliquot(sample: Mapping[str, Any]) -> str:
    """The first aliquot under a sample, however much of the way to it the answer has."""
    for portion in sample.get("portions") or []:
        for analyte in portion.get("analytes") or []:
            for aliquot in analyte.get("aliquots") or []:
                return str(aliquot.get("submitter_id", ""))
    return ""


def _read_counts(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep="\t", comment="#", keep_default_na=False, na_values={UNIT: [""]})
        return table[~table["gene_id"].str.startswith("N_")][["gene_id", "gene_name", "gene_type", UNIT]].reset_index()
    except (ValueError, KeyError, AttributeError) as error:
        raise FetchError("is no table of STAR counts", path=path, remedy="delete it, and fetch again") from error


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The clinical columns that anybody has, in the order of `_CLINICAL`."""
    return [name for names in _CLINICAL.values() for name in names if any(name in row for row in rows)]
