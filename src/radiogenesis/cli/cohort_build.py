"""`radiogenesis cohort build RAW COHORT`: scans and tables -> cohort."""

from __future__ import annotations

import sys
from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.cli.bars import Bars


def main(arguments: list[str]) -> None:
    """Parse, build, say what came of it."""
    from radiogenesis.cohort.build import BuildSettings, Tables, beside, build_cohort
    from radiogenesis.cohort.expression import TableSettings
    from radiogenesis.cohort.sampling.slices import SamplingSettings
    from radiogenesis.cohort.sources import ReadSettings
    from radiogenesis.cohort.workers import unprotected

    options = parser(
        "cohort build",
        "Read every scan under RAW and the tables beside it, and write the cohort COHORT with COHORT.previews/. "
        "Stopped at any moment, the same command goes on where it was.",
    )
    options.add_argument("raw", type=str, help="Folder with DICOM (any depth, anything mixed) or NIfTI pairs.")
    options.add_argument("cohort", type=str, help="The cohort to write; must not exist yet.")
    options.add_argument("--expression", type=str | None, help="Expression: CSV, TSV, GEO text or series matrix, h5ad.")
    options.add_argument("--annotations", type=str | None, help="Folder of AIM v4 XML files.")
    options.add_argument("--clinical", type=str | None, help="Clinical table, or a GEO series matrix.")
    options.add_argument(
        "--clinical_id", default="", help="Its column of patient ids; found by known ids where absent."
    )
    options.add_argument(
        "--id_map",
        type=str | None,
        help="Table of two columns where ids differ: the id in the tables, the same patient's id in the scans.",
    )
    options.add_argument(
        "--not_genes", nargs="*", default=[], help="Columns of the expression table that are no genes."
    )
    for kind in (TableSettings, ReadSettings, SamplingSettings, BuildSettings):
        add_settings(options, kind, skip={"not_genes"} if kind is TableSettings else None)
    given = options.parse(arguments)
    tables = Tables(
        **{name: Path(given[name]) for name in ("expression", "annotations", "clinical", "id_map") if given[name]},
        clinical_id=given.clinical_id,
        settings=settings_from(given, TableSettings, not_genes=tuple(given.not_genes)),
    )
    how = settings_from(given, BuildSettings)
    if warning := unprotected(how):
        print(warning, file=sys.stderr)
    with Bars() as bars:
        cohort = build_cohort(
            given.raw,
            given.cohort,
            tables,
            read=settings_from(given, ReadSettings),
            sampling=settings_from(given, SamplingSettings),
            build=how,
            progress=bars,
        )
    print(cohort.describe())
    previews = beside(Path(given.cohort), "previews")
    print(f"\nLook at {previews}/ before you train: one picture per patient.")
    if skipped := cohort.provenance["skipped_files"]:
        print(f"{previews / 'skipped.csv'} names the files that were passed over: {skipped}.")
