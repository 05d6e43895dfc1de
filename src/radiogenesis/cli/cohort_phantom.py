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
    verb.add_argument("--dicom_patients", type=int | None, help="how many patients are written to it, by default 3")
    verb.add_argument("--nifti", type=Path | None, help="new folder for patients as NIfTI, image and mask, with genes")
    verb.add_argument("--nifti_patients", type=int | None, help="how many patients are written to it, by default 3")
    add_settings(verb, PhantomSettings)
    parsed = verb.parse(arguments)
    settings = settings_from(parsed, PhantomSettings)
    if parsed.workers < 1:
        raise SettingError(f"workers {parsed.workers}: at least 1")
    for name in ("dicom_patients", "nifti_patients"):
        if parsed[name] is None:
            parsed[name] = min(3, settings.patients)
        if not 1 <= parsed[name] <= settings.patients:
            raise SettingError(f"{name} {parsed[name]}: from 1 to the {settings.patients} patients there are")
    if parsed.dicom is not None and settings.organ != "lung":
        raise SettingError("dicom: phantoms are written as DICOM of CT alone", remedy="give --nifti")

    from radiogenesis.output import check_place
    from radiogenesis.phantom.dicom import write_dicom, write_pairs
    from radiogenesis.phantom.phantom import make_phantom, plan_cohort
    from radiogenesis.progress import TaskBars

    written = [("dicom", write_dicom, "DICOM"), ("nifti", write_pairs, "NIfTI")]
    asked = [(parsed[name], write, parsed[f"{name}_patients"], what) for name, write, what in written if parsed[name]]
    for place in (parsed.cohort, *(folder for folder, *_ in asked)):
        check_place(place)
    for folder, write, count, _ in asked:
        write(folder, plan_cohort(settings), count)
    with TaskBars() as bars:
        cohort = make_phantom(parsed.cohort, settings, workers=parsed.workers, progress=bars)
    print(cohort.describe())
    for folder, _, count, what in asked:
        print(f"\n{folder}: {count} patients as {what}, read back by `radiogenesis cohort build`")
