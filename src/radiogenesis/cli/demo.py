"""`radiogenesis demo`: a phantom cohort, the alignment, the fusion GAN, drawings, the evaluation and its report.

`--framework sui` runs the three stages of the other paper instead (`demo_sui`).
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from
from radiogenesis.cli.demo_steps import DemoSettings, go_on, step
from radiogenesis.errors import RunError, SettingError
from radiogenesis.output import write_text

AT_THE_EDGE = 0.35
"""Share of the phantom's tumors at the chest wall: as many as in real patients (docs/MEASURED.md)."""
_DESCRIPTION = """Everything that radiogenesis does, on a phantom cohort, in minutes on a laptop CPU.

What is already in the folder is kept, so a demo that was interrupted goes on where it was."""


def main(arguments: list[str]) -> None:
    """Run the verbs one after the other."""
    verb = parser("demo", _DESCRIPTION)
    verb.add_argument("out", type=Path, nargs="?", default=Path("demo"), help="The folder to write.")
    add_settings(verb, DemoSettings)
    parsed = verb.parse(arguments)
    settings = settings_from(parsed, DemoSettings)
    out: Path = parsed.out
    out.mkdir(parents=True, exist_ok=True)
    remember(out, settings)
    started = time.perf_counter()

    if settings.framework == "sui":
        from radiogenesis.cli import demo_sui

        evaluation = demo_sui.main(out, settings)
    else:
        evaluation = xu(out, settings)
    minutes = (time.perf_counter() - started) / 60
    print(f"\nDone in {minutes:.1f} minutes. The numbers that matter, on held-out patients:")
    for line in headline(evaluation):
        print(f"  {line}")
    pages = [evaluation / "report.html", *out.glob("explorer.html")]
    print(f"\nOpen {' and '.join(map(str, pages))}")


def xu(out: Path, settings: DemoSettings) -> Path:
    """The framework of Xu et al.; returns the folder of the evaluation."""
    from radiogenesis.cli import cohort_phantom, evaluate, explore, report, synthesize, train

    cohort, alignment, gan = (str(out / name) for name in ("cohort.zarr", "alignment", "fusion-gan"))
    seed = f"--seed={settings.seed}"
    if not Path(cohort).exists():
        step(1, "a cohort of phantom patients, whose genes drive what their lesions look like")
        cohort_phantom.main([cohort, f"--patients={settings.patients}", f"--at_the_edge={AT_THE_EDGE}", seed])
    step(2, "the alignment asks what genes predict of a lesion")
    go_on(train.main, ["canonical-alignment", cohort, alignment, seed])
    step(3, "the fusion GAN learns to draw a patient's lesion from the patient's genes")
    go_on(train.main, ["fusion-gan", cohort, gan, f"--alignment={alignment}", f"--steps={settings.gan_steps}", seed])
    nearest = str(out / "nearest-lesion")
    go_on(train.main, ["nearest-lesion", cohort, nearest, seed])  # what a baseline without a network does
    drawings, evaluation = out / "drawings", out / "evaluation"
    if not drawings.exists():
        step(4, "lesions for patients that no training has seen")
        synthesize.main([gan, str(drawings), seed])
    if not evaluation.exists():
        step(5, "do the genes steer what is drawn? measured on held-out patients, beside a regression and a null")
        evaluate.main([alignment, gan, nearest, str(evaluation), seed])
    step(6, "the report")
    report.main([str(evaluation)])
    step(7, "a page on which the properties of a lesion are moved by hand")
    page = out / "explorer.html"
    if not page.exists():
        try:
            explore.main([gan, str(page), seed])
        except SettingError as error:  # what draws in a browser is an extra
            print(f"left out: {error}")
    return evaluation


def remember(out: Path, settings: DemoSettings) -> None:
    """Note the settings of a new demo. Raises RunError where the folder holds a demo with others."""
    note = out / "demo.json"
    if not note.exists():
        write_text(note, json.dumps(asdict(settings)))
    elif json.loads(note.read_text(encoding="utf-8")) != asdict(settings):
        raise RunError("holds a demo with other settings", path=out, remedy="choose another folder or delete it")


def headline(evaluation: Path) -> list[str]:
    """Control, background and retrieval, each beside what it must be compared with."""
    from radiogenesis.cli.evaluate import beside, measured

    numbers = json.loads((evaluation / "evaluation.json").read_text(encoding="utf-8"))["headline"]
    known = [{name: math.nan if value is None else value for name, value in number.items()} for number in numbers]
    return [f"{number['run']}: {number['text']}: {measured(number['value'])} ({beside(number)})" for number in known]
