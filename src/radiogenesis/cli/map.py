"""`radiogenesis map COHORT OUT`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from

_DESCRIPTION = """Which genes go with which property of the lesion, and how far to believe it.

The conventional map of a cohort: metagenes, features (lesion, image noise, semantic, clinical, radiomic), every
metagene and gene against every feature, beside shuffled genes, the lesion's size and the batches. With a run, what it
draws when genes are moved; with a gene-autoencoder, what its encoder sees in lesions. With other cohorts, whether the
links found hold there. What so many patients could find is said before anything is tested.
`radiogenesis report OUT` makes a page of it."""


def main(arguments: list[str]) -> None:
    """Parse, map, say what may be concluded."""
    from radiogenesis.mapping.prediction.settings import PredictionSettings
    from radiogenesis.mapping.replication.settings import ReplicationSettings
    from radiogenesis.mapping.settings import MapSettings, SynthesisSettings

    verb = parser("map", _DESCRIPTION)
    verb.add_argument("cohort", type=str, help="The cohort.")
    verb.add_argument("out", type=str, help="The folder to write.")
    verb.add_argument("--gmt", type=str | None, default=None, help="Gene sets (GMT), such as those of MSigDB.")
    verb.add_argument(
        "--run", type=str | None, default=None, help="A finished run of this cohort that draws, or a gene-autoencoder."
    )
    verb.add_argument(
        "--null_run", type=str, nargs="+", default=[], metavar="RUN", help="Runs of it with --shuffle_genes true."
    )
    verb.add_argument(
        "--replicate", type=str, nargs="+", default=[], metavar="OTHER",
        help="Other cohorts, in which the links that are found are looked for: same metagenes, same direction.",
    )  # fmt: skip
    verb.add_argument(
        "--scheduler", type=str, default="", metavar="ADDRESS",
        help="A running Dask scheduler (tls://host:8786), whose workers take over the long parts: see On a cluster.",
    )  # fmt: skip
    add_settings(verb, MapSettings)
    add_settings(verb, SynthesisSettings)
    add_settings(verb, PredictionSettings)
    add_settings(verb, ReplicationSettings)
    parsed = verb.parse(arguments)
    settings = settings_from(parsed, MapSettings)
    left_out = settings_from(parsed, PredictionSettings)
    moving = settings_from(parsed, SynthesisSettings)
    elsewhere = settings_from(parsed, ReplicationSettings)
    if parsed.null_run and not parsed.run:
        verb.error("--null_run is read beside --run: give a run too")
    out = Path(parsed.out)

    from radiogenesis.api.maps import mapped
    from radiogenesis.cohort.store import Cohort
    from radiogenesis.cohort.workers import connected, unprotected
    from radiogenesis.output import check_place
    from radiogenesis.progress import Status
    from radiogenesis.training.run import Run

    check_place(out)
    run = Run.open(parsed.run) if parsed.run else None
    nulls = [Run.open(path) for path in parsed.null_run]
    if warning := unprotected(parsed.scheduler):
        print(warning, file=sys.stderr)
    workers = connected(parsed.scheduler) if parsed.scheduler else nullcontext()
    with Status("opening the cohort") as status, workers:
        said = mapped(
            Cohort.open(parsed.cohort), out, settings, moving, left_out, elsewhere, run=run, nulls=nulls,
            gmt=parsed.gmt, others=[Cohort.open(other) for other in parsed.replicate],
            progress=lambda what, done, total: status.update(what),
            say=lambda text: status.console.print(text, soft_wrap=True),
        )  # fmt: skip
    for sentence in said:
        print(sentence)
    print(f"{out}: written; `radiogenesis report {out}` makes a page of it")
