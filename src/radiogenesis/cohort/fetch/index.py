"""The index of Imaging Data Commons, read offline: which series a collection has, where they lie, under which license.

The package idc-index-data bundles it as parquet, one row per series. What is used of it: `collection_id`,
`analysis_result_id` (null for original data, else the analysis that made the series), `aws_bucket` and
`crdc_series_uuid` (the objects of a series are `s3://aws_bucket/crdc_series_uuid/INSTANCE.dcm`), `instanceCount` and
`series_size_MB`, by which the list of a bucket is checked (idc_index_schema.json in that package; IDC documentation,
"Files and metadata").
"""

from __future__ import annotations

import html
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException

from radiogenesis.errors import InputError

_REPEATED = [
    "collection_id", "analysis_result_id", "PatientID", "StudyInstanceUID", "Modality", "license_short_name",
    "source_DOI", "aws_bucket",
]  # fmt: skip
"""Columns with few values: read as codes, a million rows take half a second."""
_COLUMNS = [*_REPEATED, "SeriesInstanceUID", "crdc_series_uuid", "instanceCount", "series_size_MB"]
_BYTES = 10**6  # the index has sizes in MB with six decimals: whole bytes


@dataclass(frozen=True, kw_only=True)
class Series:
    """One DICOM series in a public bucket.

    Attributes:
        patient, study, uid, modality: as its files say.
        analysis: what made it later; "" for original data.
        files: number of objects.
        size: of all of them, in bytes.
        bucket, prefix: where they lie.
        license, doi: of the data set that it belongs to.
    """

    patient: str
    study: str
    uid: str
    modality: str
    analysis: str
    files: int
    size: int
    bucket: str
    prefix: str
    license: str
    doi: str


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What the index says of a published data set: its title, license with address, and citation."""

    title: str
    license: str
    license_url: str
    citation: str


@dataclass(frozen=True)
class Index:
    """An index on disk.

    Attributes:
        folder: where its parquet files are.
        version: of the package it comes in, or the folder's name.
    """

    folder: Path
    version: str

    @classmethod
    def open(cls, folder: str = "") -> Index:
        """The index in a folder, or the bundled one. Raises InputError where there is none."""
        if folder:
            return cls(Path(folder), Path(folder).name)
        package = importlib.util.find_spec("idc_index_data")
        if package is None or package.origin is None:
            raise InputError(
                "the index of Imaging Data Commons is not installed",
                remedy="`pip install 'radiogenesis[fetch]'` brings it (80 MB), or give a folder with --index",
            )
        from importlib.metadata import version

        return cls(Path(package.origin).parent, f"idc-index-data {version('idc-index-data')}")

    def series(self, collection: str) -> list[Series]:
        """Every series of a collection, ordered by patient and series. Raises InputError where there are none."""
        only = [("collection_id", "==", collection)]
        table = self._read("idc_index.parquet", columns=_COLUMNS, filters=only, read_dictionary=_REPEATED)
        if table.empty:
            raise InputError(f"has no collection {collection!r}", path=self.folder / "idc_index.parquet")
        table = table.astype({"analysis_result_id": object}).fillna({"analysis_result_id": ""})
        entries = [_series(row) for row in table.to_dict("records")]
        return sorted(entries, key=lambda entry: (entry.patient, entry.modality, entry.uid))

    def data_sets(self, collection: str) -> dict[str, DataSet]:
        """DOI -> the data sets that the series of a collection come from."""
        table = self._read("collections_index.parquet", filters=[("collection_id", "==", collection)])
        sources = table["sources"].iloc[0] if len(table) else []
        return {source["source_doi"]: _data_set(source) for source in sources}

    def _read(self, name: str, **how: Any) -> pd.DataFrame:
        path = self.folder / name
        try:
            return pq.read_table(path, **how).to_pandas()
        except (OSError, ArrowException) as error:
            problem = " ".join(str(error).split())[:160]
            remedy = "give the folder of an index of Imaging Data Commons, or leave --index off"
            raise InputError(f"is no index that can be read ({problem})", path=path, remedy=remedy) from error


def _series(row: dict[Any, Any]) -> Series:
    return Series(
        patient=row["PatientID"],
        study=row["StudyInstanceUID"],
        uid=row["SeriesInstanceUID"],
        modality=row["Modality"],
        analysis=row["analysis_result_id"],
        files=int(row["instanceCount"]),
        size=round(row["series_size_MB"] * _BYTES),
        bucket=row["aws_bucket"],
        prefix=row["crdc_series_uuid"],
        license=row["license_short_name"],
        doi=row["source_DOI"],
    )


def _data_set(source: dict[str, Any]) -> DataSet:
    terms = source["license"]
    return DataSet(
        title=source["source_title"],
        license=f"{terms['license_long_name']} ({terms['license_short_name']})",
        license_url=terms["license_url"],
        citation=_plain(source["citation"]),
    )


def _plain(text: str) -> str:
    """A citation without the marks of HTML."""
    return " ".join(html.unescape(re.sub(r"</?\w+>", "", text)).split())
