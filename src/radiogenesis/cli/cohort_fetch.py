"""`radiogenesis cohort fetch NAME RAW`: a public cohort -> a folder that `cohort build RAW` reads."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.progress import Bar


def main(arguments: list[str]) -> None:
    """Parse, say what would be fetched, ask for the licenses, fetch, say what came of it."""
    from radiogenesis.cohort.fetch.catalog import COHORTS, FetchSettings, Services
    from radiogenesis.cohort.fetch.fetch import fetch_cohort, plan_fetch, room_for
    from radiogenesis.cohort.fetch.plan import gigabytes

    options = parser(
        "cohort fetch",
        "Fetch the public cohort NAME into RAW: images and outlines from Imaging Data Commons, expression from GEO or "
        "GDC, tables from TCIA; then `radiogenesis cohort build RAW COHORT` needs nothing else. Patients, series, size "
        "and licenses are said first. Every file is verified. Stopped at any moment, the same command goes on where it "
        "was. Needs the extra `fetch`.",
    )
    options.add_argument("name", type=str, help=f"The cohort: {', '.join(COHORTS)}.")
    options.add_argument("raw", type=str, help="The folder: new, empty, or of an earlier call for the same cohort.")
    options.add_argument("--dry_run", action="store_true", help="Say what would be fetched, from the index alone.")
    options.add_argument(
        "--accept_license", action="store_true", help="Accept the licenses that are shown, without being asked."
    )
    for kind in (FetchSettings, Services):
        add_settings(options, kind)
    given = options.parse(arguments)
    services = settings_from(given, Services)
    plan = plan_fetch(given.name, settings_from(given, FetchSettings), services)
    print(plan.describe())
    print(f"  {room_for(plan, given.raw)}")
    if given.dry_run:
        return
    accepted = given.accept_license or _accepts()
    with _Bars() as bars:
        fetched = fetch_cohort(plan, given.raw, services, accept_license=accepted, progress=bars)
    print(f"{fetched.folder}: {fetched.files:,} files of images and outlines, {gigabytes(fetched.size)}, all verified")
    for remark in fetched.remarks:
        print(f"  {remark}")
    print(f"  {fetched.folder}/LICENSE.txt and CITATION.txt say what it may be used for, and whom to cite.")
    print(f"\nNext: radiogenesis cohort build {given.raw} {plan.cohort.name}.zarr")


def _accepts() -> bool:
    """Ask the person at the terminal; where there is nobody, nothing is accepted."""
    if not sys.stdin.isatty():
        return False
    return input("Do you accept these licenses? [y/N] ").strip().lower() in ("y", "yes")


class _Bars:
    """A bar in MB with the rate of this call and the time left, on stderr. A context, and a `Progress`."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} MB, {task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("fetching", total=None, visible=False, rate="")
        self._began: tuple[float, int] | None = None

    def __enter__(self) -> _Bars:
        self._bar.start()
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = (now, done)
            self._bar.reset(self._task, total=total // 10**6, completed=done // 10**6, visible=True, rate="")
        began, there = self._began
        rate = (done - there) / max(now - began, 1) / 1e6
        self._bar.update(self._task, completed=done // 10**6, total=total // 10**6, rate=f"{rate:.1f} MB/s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
