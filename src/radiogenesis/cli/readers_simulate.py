"""`radiogenesis readers simulate KEY.json OUT`."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.arguments import parser

_DESCRIPTION = """Write the answers of simulated readers, to rehearse `radiogenesis readers analyze` before people
take time: OUT/guesses, OUT/knows, and OUT/network, who rate as the study's network did. They prove nothing about
drawings."""


def main(arguments: list[str]) -> None:
    """Parse, simulate, say what was written."""
    verb = parser("readers simulate", _DESCRIPTION)
    verb.add_argument("key", type=str, metavar="KEY.json", help="The key of a study.")
    verb.add_argument("out", type=str, help="The folder to write.")
    verb.add_argument("--readers", type=int, default=6, help="Readers of each kind.")
    verb.add_argument("--seed", type=int, default=0, help="Of their answers.")
    parsed = verb.parse(arguments)

    from radiogenesis.readers.simulated import simulate

    written = simulate(Path(parsed.key), Path(parsed.out), readers=parsed.readers, seed=parsed.seed)
    print(
        f"{parsed.out}: {len(written)} files of answers in {', '.join(sorted({path.parent.name for path in written}))}"
    )
