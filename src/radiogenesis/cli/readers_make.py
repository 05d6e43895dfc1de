"""`radiogenesis readers make RUN OUT.html`."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from

_DESCRIPTION = """Make a reader study: ONE page that opens offline, asks nothing of the network, and can be mailed.

Three parts: rate images from surely real to surely drawn; of two lesions on one background, which is drawn; and of two
drawings that only the genes make differ, which has a property, or a pathway, high, with pairs from a run with shuffled
genes among them (--null_run) as the control. Order and sides are random for each reader; answers, times, windows and
zooms go into one CSV per reader.

Drawings are of held-out patients. Beside each stands a real lesion as large, on the same background, at the same place,
by the same composition. The key, OUT.key.json, says what is what: keep it, `radiogenesis readers analyze` needs it."""


def main(arguments: list[str]) -> None:
    """Parse, make, say what a network and simple cues tell."""
    from radiogenesis.readers.settings import StudySettings

    verb = parser("readers make", _DESCRIPTION)
    verb.add_argument("run", type=str, help="A finished run of a method that draws.")
    verb.add_argument("out", type=str, metavar="OUT.html", help="The page to write; OUT.key.json is written beside it.")
    verb.add_argument("--cohort", type=str | None, default=None, help="The run's cohort, where it has moved.")
    verb.add_argument(
        "--null_run", type=str | None, default=None, metavar="RUN", help="The same run with --shuffle_genes true."
    )
    verb.add_argument("--gmt", type=str | None, default=None, help="Gene sets (GMT) that --pathways names.")
    verb.add_argument(
        "--evaluation", type=str | None, default=None,
        help="What `radiogenesis evaluate RUN` wrote: its examination for copies is read instead of being made.",
    )  # fmt: skip
    add_settings(verb, StudySettings)
    parsed = verb.parse(arguments)
    settings = settings_from(parsed, StudySettings)

    from radiogenesis.api.readers import made_study
    from radiogenesis.progress import Status
    from radiogenesis.training.run import Run

    out = Path(parsed.out)
    null_run = Run.open(parsed.null_run) if parsed.null_run else None
    with Status("opening the cohort") as status:
        said = made_study(
            Run.open(parsed.run), out, settings, cohort=parsed.cohort, null_run=null_run, gmt=parsed.gmt,
            evaluation=parsed.evaluation,
            progress=lambda what, done, total: status.update(f"{what}, {done} of {total}" if total else what),
        )  # fmt: skip
    for sentence in said:
        print(sentence)
