"""`radiogenesis synthesize RUN OUT`."""

from __future__ import annotations

from pathlib import Path

_DESCRIPTION = """Draw lesions from genes.

By default for the run's held-out patients, on backgrounds of held-out patients, or on others if these have none, which
is told. --patients chooses others of the cohort; --expression draws for any table with the same genes, in the same unit
as the cohort's."""


def main(arguments: list[str]) -> None:
    from radiogenesis.cli.arguments import add_settings, parser, settings_from

    verb = parser("synthesize", _DESCRIPTION)
    verb.add_argument("run", type=str, help="A finished run of a method that draws.")
    verb.add_argument("out", type=str, help="The folder to write.")
    verb.add_argument("--cohort", type=str | None, default=None, help="The run's cohort, where it has moved.")
    verb.add_argument("--patients", type=list[str] | None, default=None, help="Patients to draw for.")
    verb.add_argument(
        "--expression", type=str | None, default=None, help="Draw for the patients of this table instead."
    )
    verb.add_argument("--backgrounds", type=list[int] | None, default=None, help="Rows of the cohort's backgrounds.")

    from radiogenesis.cohort.expression import TableSettings
    from radiogenesis.inference.drawing import DrawSettings, draw, table_record, write

    add_settings(verb, DrawSettings)
    add_settings(verb, TableSettings, skip={"log"})  # the run knows whether its genes are on a log scale
    parsed = verb.parse(arguments)

    from radiogenesis.backends.opened import on_backend
    from radiogenesis.cohort.expression import read_expression
    from radiogenesis.output import check_place
    from radiogenesis.training.data import HELD_OUT, untrained_backgrounds
    from radiogenesis.training.run import Run

    out = Path(parsed.out)
    check_place(out)
    settings = settings_from(parsed, DrawSettings)
    run = on_backend(Run.open(parsed.run), settings.backend)
    cohort = run.open_cohort(parsed.cohort)
    if parsed.expression:
        known = parsed.patients or list(cohort.expression.obs_names)
        expression = read_expression(parsed.expression, patients=known, settings=settings_from(parsed, TableSettings))
        for sentence in expression.uns.get("remarks", []):
            print(sentence)
        patients = parsed.patients or list(expression.obs_names)
    else:
        expression, patients = cohort.expression, parsed.patients or list(run.split.test)
    drawn = draw(run, cohort, expression, patients, settings, backgrounds=parsed.backgrounds)
    whose = "chosen with --backgrounds" if parsed.backgrounds else untrained_backgrounds(cohort, run.split)[1]
    table = table_record(parsed.expression) if parsed.expression else None
    write(drawn, out, run, cohort, settings, {"expression": table, "backgrounds_of": whose})
    where = "" if parsed.backgrounds or whose == HELD_OUT else f", on backgrounds of {whose}"
    print(f"{out}: {len(drawn.image)} lesions drawn for {len(patients)} patients{where}")
