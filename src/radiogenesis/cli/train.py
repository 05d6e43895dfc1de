"""`radiogenesis train METHOD COHORT RUN`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from radiogenesis.cli.arguments import VerbParser
    from radiogenesis.training.run import Run

_DESCRIPTION = """Fit a method to a cohort and write a run folder.

fusion-gan builds on a run of canonical-alignment or alignment (give it with --alignment) unless --preset paper, or
--matching 0 with --energy 0 and --gene_code mapping, says otherwise; it holds out the patients that this run holds out.
So does mc-gan with --preset additions, which gives it what fusion-gan has beyond its paper.
Stopped at any moment, `--resume` with the same settings goes on to the same result."""


_FIRST = frozenset(
    {
        "help", "config", "preset", "alignment", "resume", "steps", "epochs", "batch", "width", "seed", "test",
        "validation", "folds", "fold", "split_by", "shuffle_genes", "missing", "log", "accelerator", "devices",
        "threads",
    }
)  # fmt: skip
"""What --help shows; `--help advanced` shows all."""


def main(arguments: list[str]) -> None:
    """Parse the method first, since its settings are the options of the rest."""
    from radiogenesis.cli.arguments import add_settings, parser, settings_from
    from radiogenesis.cohort.expression import ExpressionSettings
    from radiogenesis.cohort.store import Cohort
    from radiogenesis.errors import SettingError
    from radiogenesis.imaging import ORGANS
    from radiogenesis.methods.canonical_alignment import CanonicalAlignment
    from radiogenesis.training.fit import train
    from radiogenesis.training.registry import FOR_LUNGS, METHODS, entry, own_defaults, unlike_its_cohort
    from radiogenesis.training.run import Run
    from radiogenesis.training.settings import TrainSettings

    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: radiogenesis train METHOD COHORT RUN [settings]\n\n" + _DESCRIPTION + "\n\nmethods:")
        width = max(map(len, METHODS))
        print("\n".join(f"  {name:<{width}} {e.what}; presets: {', '.join(e.presets)}" for name, e in METHODS.items()))
        print("\n`radiogenesis train METHOD --help` shows the method's settings.")
        return
    name, rest = arguments[0], arguments[1:]
    method = entry(name)
    verb = parser(f"train {name}", _DESCRIPTION)
    verb.first = _FIRST
    verb.add_argument("cohort", type=str, help="The cohort to train on.")
    verb.add_argument("run", type=str, help="The run folder to write.")
    verb.add_argument("--preset", type=str, default="default", help=f"One of: {', '.join(method.presets)}.")
    verb.add_argument("--alignment", type=str | None, default=None, help="A finished run of an alignment to build on.")
    verb.add_argument("--resume", action="store_true", help="Go on from the run's last checkpoint, if any.")
    for kind in (method.settings, TrainSettings, ExpressionSettings):
        add_settings(verb, kind)
    preset = preset_of(rest)
    if preset not in method.presets:
        raise SettingError(f"{name} has no preset {preset!r}", remedy=f"choose from: {', '.join(method.presets)}")
    verb.set_defaults(dict(method.presets[preset]))
    parsed = verb.parse(rest)
    if parsed.preset != preset:
        raise SettingError(
            f"the preset {parsed.preset!r} stands in the configuration file, where it has no effect",
            remedy=f"give --preset {parsed.preset} on the command line",
        )
    alignment = Run.open(parsed.alignment) if parsed.alignment else None
    cohort = Cohort.open(parsed.cohort)
    off = [one for one in FOR_LUNGS if parsed.get(one)]
    if not cohort.imaging.of_lungs:
        verb.set_defaults(own_defaults(name, preset, cohort.imaging, cohort.pixel_mm))
        parsed = verb.parse(rest)
        organ = cohort.imaging.organ
        around = f"up to {ORGANS[organ].around_mm:g} mm around it are drawn"
        if off:
            print(
                f"{name}: {' and '.join(off)}, made for CT of lungs, are off: this is {organ}, "
                f"{cohort.imaging.window_text}; with a lesion, {around}",
                file=sys.stderr,
            )
    if alignment is not None:
        parsed = with_split_of(alignment, verb, rest)
    if unlike := unlike_its_cohort(name, preset, cohort.settings["sampling"]):
        print(unlike, file=sys.stderr)
    run = train(
        name,
        cohort,
        Path(parsed.run),
        method_settings=settings_from(parsed, method.settings),
        settings=settings_from(parsed, TrainSettings),
        expression_settings=settings_from(parsed, ExpressionSettings),
        alignment=alignment,
        resume=parsed.resume,
    )
    if run.config["genes"] and (left_out := run.scaler.left_out(cohort.expression)):
        print(f"{run.path}: {left_out}")
    if run.metrics.empty:
        print(f"{run.path}: fitted in closed form")
        if isinstance(run.method, CanonicalAlignment):
            print(f"{run.path}: {run.method.said(cohort.imaging)}")
        return
    images = run.metrics["images_seen"].diff().fillna(run.metrics["images_seen"])
    seconds = (images / run.metrics["images_per_second"]).sum()
    print(f"{run.path}: {images.sum():,.0f} images seen, {images.sum() / seconds:.0f} images per second")


def with_split_of(alignment: Run, verb: VerbParser, arguments: list[str]) -> Namespace:
    """Parse again: the settings of the alignment's split are the defaults, and others are refused, not ignored."""
    from radiogenesis.training.fit import refuse_other_split, split_settings

    verb.set_defaults(split_settings(alignment))
    parsed = verb.parse(arguments)
    refuse_other_split(alignment, vars(parsed), dash="--")
    return parsed


def preset_of(arguments: list[str]) -> str:
    """The preset that is asked for: it decides the defaults that the parser shows and fills in."""
    for i, word in enumerate(arguments):
        if word == "--preset" and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith("--preset="):
            return word.removeprefix("--preset=")
    return "default"
