"""`radiogenesis cohort phantom COHORT`: a cohort whose gene-image map is known, because it was planted."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from


def main(arguments: list[str]) -> None:
    """Parse, make the cohort, say what is in it."""
    from radiogenesis.phantom.settings import PhantomSettings

    verb = parser("cohort phantom", __doc__ or "")
    verb.add_argument("cohort", type=Path, help="the new cohort")
    verb.add_argument("--workers", type=int, default=2, help="processes that make patients side by side")
    add_settings(verb, PhantomSettings)
    parsed = verb.parse_args(arguments)
    settings = settings_from(parsed, PhantomSettings)

    from radiogenesis.phantom.phantom import make_phantom

    print(make_phantom(parsed.cohort, settings, workers=parsed.workers, progress=True).describe())
