"""`radiogenesis cohort describe COHORT`: what is in it, who is not and why, and whether it is intact."""

from __future__ import annotations

from radiogenesis.cli.arguments import parser


def main(arguments: list[str]) -> None:
    """Open, verify where asked, print."""
    from radiogenesis.cohort.store import Cohort

    options = parser("cohort describe", "Print what a cohort holds, who is not in it and why, and how it was made.")
    options.add_argument("cohort", type=str, help="The cohort.")
    options.add_argument("--verify", action="store_true", help="Read everything and compare it with its digest.")
    given = options.parse(arguments)
    cohort = Cohort.open(given.cohort, verify=given.verify)
    print(cohort.describe())
    if given.verify:
        print("\nIntact: everything in it is what was written.")
