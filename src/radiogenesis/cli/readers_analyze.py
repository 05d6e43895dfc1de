"""`radiogenesis readers analyze CSV... OUT`."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from

_DESCRIPTION = """What readers' answers are worth for other readers and other patients: per reader accuracy with exact
intervals, ROC and AUC; the mean AUC with readers and cases both random (Obuchowski-Rockette with Hillis' degrees of
freedom, a jackknife over patients); agreement; time; what could have been told. Writes a folder with tables, and
report.html, which opens offline.

"Cannot be told apart" is said only where the interval of the mean AUC lies between 0.40 and 0.60, of at least 6 readers
who told the shuffled controls."""


def main(arguments: list[str]) -> None:
    """Parse, analyze, say what may be concluded."""
    from radiogenesis.readers.analysis import AnalysisSettings

    verb = parser("readers analyze", _DESCRIPTION)
    verb.add_argument("paths", type=str, nargs="+", metavar="CSV... OUT",
                      help="The files that readers saved, one each, then the folder to write.")  # fmt: skip
    verb.add_argument("--key", type=str | None, default=None, metavar="KEY.json",
                      help="What `radiogenesis readers make` wrote beside the page.")  # fmt: skip
    add_settings(verb, AnalysisSettings)
    parsed = verb.parse(arguments)
    *answers, out = map(Path, parsed.paths)
    if not answers:
        verb.error("give at least one CSV and the folder OUT to write")
    if not parsed.key:
        verb.error("give --key: the OUT.key.json that `radiogenesis readers make` wrote beside the page")
    settings = settings_from(parsed, AnalysisSettings)

    from radiogenesis.output import check_place
    from radiogenesis.readers.report import analyze

    check_place(out)
    for sentence in analyze(answers, Path(parsed.key), out, settings):
        print(sentence)
    print(f"{out}: written; open {out / 'report.html'}")
