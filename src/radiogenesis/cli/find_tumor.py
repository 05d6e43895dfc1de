"""`radiogenesis find-tumor RUN CT_FOLDER OUT`."""

from __future__ import annotations

import math
from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from

_DESCRIPTION = """Look for tumors in every CT under CT_FOLDER with a run of tumor-unet, and write OUT: masks as NIfTI
and as DICOM SEG that belongs to the CT, boxes in millimeters per patient and per slice, a picture of each scan.

Only slices that contain lung are looked at (Li, Sui et al. 2021). Outlines in the folder are not.

To cut tumor regions from what was found, let OUT lie under the same folder as the DICOM CT, and give that folder to
`cohort build`: each seg.dcm is the outline of its CT."""


def main(arguments: list[str]) -> None:
    """Parse, find with a progress bar, say what came of it."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from radiogenesis.cohort.sources import ReadSettings
    from radiogenesis.inference.finding import find_in_folder
    from radiogenesis.methods.tumor_unet import FindSettings
    from radiogenesis.progress import Bar
    from radiogenesis.training.run import Run

    options = parser("find-tumor", _DESCRIPTION)
    options.add_argument("run", type=Path, help="A finished run of tumor-unet.")
    options.add_argument("ct_folder", type=Path, help="Folder with chest CT, DICOM or NIfTI, any depth.")
    options.add_argument("out", type=Path, help="The folder to write; must not exist yet.")
    for kind in (FindSettings, ReadSettings):
        add_settings(options, kind)
    given = options.parse(arguments)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns) as bar:
        task = bar.add_task(f"looking through {given.ct_folder}", total=None)
        scans = find_in_folder(
            Run.open(given.run),
            given.ct_folder,
            given.out,
            settings_from(given, FindSettings),
            read=settings_from(given, ReadSettings),
            tell=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    for row in scans.to_dict("records"):
        summary = "" if math.isnan(row["volume_ml"]) else f"{row['tumors']} found, {row['volume_ml']:.1f} ml"
        print(f"{row['patient']}: {'; '.join(filter(None, [summary, row['note']]))}")
    print(f"\n{given.out}: look at PATIENT/overlay.png before you believe a box. Research use only.")
