"""`radiogenesis report OUT`."""

from __future__ import annotations

from radiogenesis.cli.arguments import parser

_DESCRIPTION = """One HTML file, OUT/report.html, from what `radiogenesis evaluate` wrote into OUT.

It opens offline and needs nothing beside it."""


def main(arguments: list[str]) -> None:
    """Parse, render, say where the page is."""
    verb = parser("report", _DESCRIPTION)
    verb.add_argument("out", type=str, help="The folder that `radiogenesis evaluate` wrote.")
    parsed = verb.parse(arguments)

    from radiogenesis.reporting.page import write_report

    print(write_report(parsed.out))
