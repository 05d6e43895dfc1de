"""The page that readers get: one HTML file that opens offline, asks nothing of the network, and knows no answer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from radiogenesis.cohort.digest import json_digest
from radiogenesis.output import check_place, json_text, write_text
from radiogenesis.readers.study import REAL_KINDS, Item, Study, Task
from radiogenesis.reporting.inlined import json_inside, source_hash
from radiogenesis.window import WINDOW_HU

TITLES: dict[Task, str] = {"rate": "Real or drawn?", "drawn": "Which is drawn?", "high": "Which is more?"}
TEXTS: dict[Task, str] = {
    "rate": "You see one lesion at a time. Was it drawn by a computer, or is it a real patient's? Say how sure you "
    "are, from 1, surely real, to 6, surely drawn. Use all six.",
    "drawn": "You see two lesions in the same lung. One of them was drawn by a computer, the other is a real "
    "patient's. Which is the drawn one?",
    "high": "You see two lesions in the same lung, both drawn by a computer. The question above them changes. Choose "
    "one even where you see no difference.",
}
QUESTIONS: dict[Task, str] = {"rate": "Real or drawn?", "drawn": "Which of the two is drawn?", "high": ""}
KEYS: dict[Task, str] = {
    "rate": "Keyboard: 1 to 6.", "drawn": "Keyboard: arrow left, arrow right.",
    "high": "Keyboard: arrow left, arrow right.",
}  # fmt: skip
MOVED = (
    "Some of the real lesions stand in another lung than the one they were scanned in, laid there as the drawn ones "
    "are: judge the lesion, not the lung around it."
)
AS_SCANNED = "Real lesions stand in the lung that they were scanned in."


def key_path(page: Path) -> Path:
    """Where the key of a page lies: OUT.key.json beside OUT.html."""
    return page.with_suffix(".key.json")


def write_study(study: Study, page: Path) -> Path:
    """Write the page and its key, each whole or not at all; the key first. Returns the key's path.

    Raises:
        OutputError: one of the two is there already, or cannot be written.
    """
    key = key_path(page)
    for path in (page, key):
        check_place(path)
    html = render(study)
    page.parent.mkdir(parents=True, exist_ok=True)
    record = study.key() | {"page": page.name, "page_sha256": hashlib.sha256(html.encode()).hexdigest()}
    plain = json.loads(json_text(record))  # as it will be read
    write_text(key, json_text(plain | {"digest": json_digest(plain)}))
    write_text(page, html)
    return key


def render(study: Study) -> str:
    """The page as HTML: images, styles and script inlined, each allowed by its hash and nothing else."""
    folder = files("radiogenesis.readers") / "templates"
    style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("readers.css", "readers.js"))
    policy = (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; base-uri 'none'; "
        "form-action 'none'"
    )
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
        folder.joinpath("readers.html.j2").read_text(encoding="utf-8")
    )
    low, high = WINDOW_HU
    tasks = _tasks(study)
    return template.render(
        policy=Markup(policy), style=Markup(style), script=Markup(script), data=Markup(_data(study, tasks)),
        title=study.settings.title, warnings=study.warnings, study=study.name, low=int(low), high=int(high),
        width_mm=f"{study.pixels * study.pixel_mm:.0f}", parts=_parts(tasks),
        real=MOVED if "pasted" in REAL_KINDS[study.settings.real] or study.settings.pairs else AS_SCANNED,
    )  # fmt: skip


def _parts(tasks: Sequence[dict[str, Any]]) -> str:
    counts = ", ".join(f"{task['title'].rstrip('?').lower()} ({len(task['items'])})" for task in tasks)
    total = sum(len(task["items"]) for task in tasks)
    return f"{len(tasks)} part{'s' if len(tasks) > 1 else ''} with {total} questions: {counts}."


def _tasks(study: Study) -> list[dict[str, Any]]:
    """The tasks with their items in the order of their names, which says nothing; images by their place."""
    place = 0
    found: dict[Task, list[dict[str, Any]]] = {task: [] for task in TITLES}
    for name in sorted(study.items):
        item = study.items[name]
        images = list(range(place, place + len(item.images)))
        place += len(images)
        found[item.task].append({"item": name, "images": images, "question": item.question})
    return [
        {
            "task": task, "title": TITLES[task], "text": TEXTS[task], "question": QUESTIONS[task], "keys": KEYS[task],
            "items": items,
        }
        for task, items in found.items() if items
    ]  # fmt: skip


def _data(study: Study, tasks: Sequence[dict[str, Any]]) -> str:
    """Everything that the script reads, as JSON that cannot end its element."""
    ordered: list[Item] = [study.items[name] for name in sorted(study.items)]
    images = np.stack([image for item in ordered for image in item.images]).astype("<i2")
    low, high = WINDOW_HU
    data = {
        "study": study.name, "pixels": study.pixels, "low": int(low), "high": int(high), "tasks": list(tasks),
        "images": base64.b64encode(images.tobytes()).decode("ascii"),
    }  # fmt: skip
    return json_inside(data)
