"""`radiogenesis cohort radiomics RAW OUT`: scans -> a table of 3-D radiomic features."""

from __future__ import annotations

import sys

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.cli.bars import Bars


def main(arguments: list[str]) -> None:
    """Parse, measure, say who is left out."""
    from radiogenesis.cohort.sources import ReadSettings
    from radiogenesis.cohort.volume_table import volume_table
    from radiogenesis.cohort.workers import BuildSettings, unprotected
    from radiogenesis.phenotypes.volumes import VolumeSettings

    options = parser(
        "cohort radiomics",
        "Measure the outlined tumor of every scan under RAW in three dimensions with PyRadiomics (the extra "
        "`radiomics`), and write the table OUT, which `radiogenesis map --radiomics OUT` reads. Stopped at any moment, "
        "the same command goes on where it was.",
    )
    options.add_argument("raw", type=str, help="Folder with DICOM (any depth, anything mixed) or NIfTI pairs.")
    options.add_argument("out", type=str, help="The table (CSV) to write; must not exist yet.")
    for kind in (VolumeSettings, ReadSettings, BuildSettings):
        add_settings(options, kind)
    given = options.parse(arguments)
    how = settings_from(given, BuildSettings)
    if warning := unprotected(how.scheduler):
        print(warning, file=sys.stderr)
    with Bars() as bars:
        measured = volume_table(
            given.raw,
            given.out,
            settings_from(given, VolumeSettings),
            read=settings_from(given, ReadSettings),
            build=how,
            progress=bars,
        )
    for patient, why in measured.left_out.items():
        print(f"left out: {patient}: {why}")
    patients, features = measured.features.shape
    print(f"{given.out}: {features} features of {patients} patients")
