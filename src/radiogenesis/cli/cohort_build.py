"""`radiogenesis cohort build RAW COHORT`: scans and tables -> cohort."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jsonargparse import Namespace

from radiogenesis.cli.arguments import VerbParser, add_settings, parser, settings_from
from radiogenesis.cli.bars import Bars
from radiogenesis.errors import InputError, SettingError


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
        "Stopped at any moment, the same command goes on where it was. RAW/cohort.yaml, which `cohort fetch` writes, "
        "gives the tables and settings that are not given here.",
    )
    options.add_argument(
        "raw",
        type=str,
        nargs="?",
        default="",
        help="Folder with DICOM (any depth, anything mixed), or images and masks (NIfTI, NRRD, MetaImage) named as "
        "PATIENT_image.nii.gz and PATIENT_mask.nii.gz, PATIENT/image.nii.gz and PATIENT/mask.nii.gz, or as nnU-Net, "
        "the Medical Segmentation Decathlon, TotalSegmentator or BIDS name them.",
    )
    options.add_argument("cohort", type=str, help="The cohort to write; must not exist yet.")
    options.add_argument(
        "--manifest",
        type=str | None,
        help="Instead of RAW: a table with the columns patient, image, mask (any file names, paths from the table's "
        "folder) and, where needed, label, series, channel, organ_mask; further columns are the patients'.",
    )
    options.add_argument(
        "--organ_mask",
        type=str | None,
        help="Folder with masks of the lung or body by any tool, instead of the built-in lung segmentation: "
        "PATIENT.nii.gz, PATIENT/lungs.nii.gz, or PATIENT/ as TotalSegmentator writes it.",
    )
    options.add_argument("--expression", type=str | None, help="Expression: CSV, TSV, GEO text or series matrix, h5ad.")
    options.add_argument("--annotations", type=str | None, help="Folder of AIM v4 XML files.")
    options.add_argument("--clinical", type=str | None, help="Clinical table, or a GEO series matrix.")
    options.add_argument(
        "--clinical_id", default="", help="Its column of patient ids; found by known ids where absent."
    )
    options.add_argument(
        "--id_map",
        type=str | None,
        help="Table of two columns where ids differ: the id in the tables, the same patient's id in the scans. Where "
        "ids nearly match, COHORT.id_map.csv proposes one to check.",
    )
    options.add_argument(
        "--not_genes", nargs="*", default=[], help="Columns of the expression table that are no genes."
    )
    for kind in (TableSettings, ReadSettings, SamplingSettings, BuildSettings):
        add_settings(options, kind, skip={"not_genes"} if kind is TableSettings else None)
    given = _parsed(options, arguments)
    tables = Tables(
        **{name: Path(given[name]) for name in ("expression", "annotations", "clinical", "id_map") if given[name]},
        clinical_id=given.clinical_id,
        settings=settings_from(given, TableSettings, not_genes=tuple(given.not_genes)),
    )
    how = settings_from(given, BuildSettings)
    if warning := unprotected(how.scheduler):
        print(warning, file=sys.stderr)
    with Bars() as bars:
        cohort = build_cohort(
            given.manifest or given.raw,
            given.cohort,
            tables,
            read=settings_from(given, ReadSettings),
            sampling=settings_from(given, SamplingSettings),
            build=how,
            organ_mask=given.organ_mask,
            progress=bars,
        )
    print(cohort.describe())
    previews = beside(Path(given.cohort), "previews")
    print(f"\nLook at {previews}/ before you train: one picture per patient.")
    if skipped := cohort.provenance["skipped_files"]:
        print(f"{previews / 'skipped.csv'} names the files that were passed over: {skipped}.")


def _parsed(options: VerbParser, arguments: list[str]) -> Namespace:
    """The options as given; where RAW brings settings of its own, they are said, and stand in for what is not given."""
    from radiogenesis.cohort.raw_settings import RAW_SETTINGS, raw_settings, told

    given = options.parse(arguments)
    if bool(given.raw) == bool(given.manifest):
        problem = "RAW and --manifest exclude each other" if given.raw else "neither RAW nor --manifest is given"
        raise SettingError(problem, remedy="give one of them")
    if given.manifest and not Path(given.manifest).is_file():
        raise InputError("there is no such file", path=given.manifest)
    brought = raw_settings(given.raw) if given.raw else {}
    if not brought:
        return given
    words = [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in brought.items()]
    try:
        options.parse([*words, given.raw, given.cohort])
    except SettingError as error:
        raise SettingError(error.problem, path=Path(given.raw) / RAW_SETTINGS, remedy="mend or delete it") from error
    print(told(given.raw, brought))
    return options.parse([*words, *arguments])
