"""`radiogenesis cohort phantom COHORT`: a cohort whose gene-image map is known, because it was planted."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.errors import SettingError


def main(arguments: list[str]) -> None:
    """Parse, make the cohort, say what is in it."""
    from radiogenesis.phantom.settings import PhantomSettings

    verb = parser("cohort phantom", __doc__ or "")
    verb.add_argument("cohort", type=Path, help="the new cohort")
    verb.add_argument("--workers", type=int, default=2, help="processes that make patients side by side")
    verb.add_argument("--dicom", type=Path | None, help="new folder for some of the patients as DICOM CT with SEG")
    verb.add_argument("--dicom_patients", type=int, default=3, help="how many patients are written to it")
    add_settings(verb, PhantomSettings)
    parsed = verb.parse(arguments)
    settings = settings_from(parsed, PhantomSettings)
    if parsed.workers < 1:
        raise SettingError(f"workers {parsed.workers}: at least 1")
    if not 1 <= parsed.dicom_patients <= settings.patients:
        raise SettingError(
            f"dicom_patients {parsed.dicom_patients}: from 1 to the {settings.patients} patients there are"
        )

    from radiogenesis.output import check_place
    from radiogenesis.phantom.phantom import make_phantom, plan_cohort
    from radiogenesis.progress import TaskBars

    if parsed.dicom is not None:
        from radiogenesis.phantom.dicom import write_dicom

        check_place(parsed.cohort)
        check_place(parsed.dicom)
        write_dicom(parsed.dicom, plan_cohort(settings), parsed.dicom_patients)
    with TaskBars() as bars:
        cohort = make_phantom(parsed.cohort, settings, workers=parsed.workers, progress=bars)
    print(cohort.describe())
    if parsed.dicom is not None:
        print(f"\n{parsed.dicom}: {parsed.dicom_patients} patients as DICOM, read back by `radiogenesis cohort build`")
