"""The readers as the tests call them: one folder, one patient, one scan or one line of refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
from numpy import bool_
from numpy.typing import NDArray

from radiogenesis.cohort.dicom.folder import Findings, ReadSettings, find_dicom, read_dicom
from radiogenesis.cohort.dicom.headers import lenient
from radiogenesis.cohort.dicom.outlines import read_outline
from radiogenesis.cohort.dicom.rtstruct import read_rtstruct
from radiogenesis.cohort.dicom.series import read_series
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import Source
from radiogenesis.errors import ScanError

SETTINGS = ReadSettings()


def find(folder: Path, settings: ReadSettings = SETTINGS) -> Findings:
    return find_dicom(folder, settings)


def read(folder: Path, settings: ReadSettings = SETTINGS) -> Scan:
    findings = find(folder, settings)
    assert not findings.refused
    (source,) = findings.sources
    return read_dicom(source, settings)


def refusal(folder: Path, settings: ReadSettings = SETTINGS) -> str:
    """The one line with which the only patient is refused, by finding or by reading."""
    findings = find(folder, settings)
    if findings.refused:
        ((_, line),) = findings.refused
    else:
        (source,) = findings.sources
        with pytest.raises(ScanError) as caught:
            read_dicom(source, settings)
        line = str(caught.value)
    assert "\n" not in line
    return line


def drawn(source: Source, settings: ReadSettings) -> NDArray[bool_]:
    """(Z, Y, X): the ROIs of an RTSTRUCT that the settings name, and nothing else of its file."""
    (path,) = source.outline_files
    with lenient():
        return read_rtstruct(read_outline(path), path, read_series(source.image_files, settings), settings)[1]
