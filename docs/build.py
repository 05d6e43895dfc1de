"""Builds the documentation: `python docs/build.py [OUT]`, by default site/. It is strict and needs no network.

The pages lie in docs/. Two are made here: every command with its help, and the tutorial from its notebook.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from radiogenesis.cli.main import VERBS, main
from radiogenesis.training.registry import METHODS

DOCS = Path(__file__).parent
COMMANDS = tuple(
    command for verb in VERBS for command in ([f"train {name}" for name in METHODS] if verb == "train" else [verb])
)


def help_of(command: str) -> str:
    """What `radiogenesis COMMAND --help` prints."""
    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        main([*command.split(), "--help", *(["advanced"] if command.startswith("train ") else [])])
    return said.getvalue()


def commands() -> str:
    """The page of commands."""
    parts = ["# Commands\n\nEvery command with every setting, its default, its unit and its source.\n"]
    parts += [f"## `radiogenesis {one}`\n\n```text\n{help_of(one).rstrip()}\n```\n" for one in COMMANDS]
    return "\n".join(parts)


def tutorial(notebook: Path, pictures: Path) -> str:
    """The notebook as a page; its pictures go into a folder beside the page."""
    pictures.mkdir()
    parts = ["[The notebook](tutorial.ipynb), executed by the tests.\n"]
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source + "\n")
            continue
        parts.append(f"```python\n{source}\n```\n")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{number}.png"
                (pictures / name).write_bytes(base64.b64decode(data["image/png"]))
                parts.append(f"![What the cell above shows]({pictures.name}/{name})\n")
            elif "text/html" in data:
                parts.append("".join(data["text/html"]) + "\n")
            elif text := "".join(output.get("text", "") or data.get("text/plain", "")):
                parts.append(f"```text\n{text.rstrip()}\n```\n")
    parts[0], parts[1] = parts[1], parts[0]  # the title first
    return "\n".join(parts)


def build(out: Path) -> None:
    """Make the site in `out`, which is replaced. Exits with what is wrong where a link or a reference is broken."""
    with TemporaryDirectory() as place:
        pages = Path(place) / "docs"
        shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("build.py", "zensical.toml", "__pycache__"))
        (pages / "reference" / "commands.md").write_text(commands(), encoding="utf-8")
        (pages / "tutorial.md").write_text(
            tutorial(DOCS / "tutorial.ipynb", pages / "tutorial_files"), encoding="utf-8"
        )
        settings = (DOCS / "zensical.toml").read_text(encoding="utf-8")
        (Path(place) / "zensical.toml").write_text(settings.replace("SOURCE", str(DOCS.parent / "src")), "utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(Path(place) / "site", out)


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS.parent / "site"
    build(where)
    print(f"{where / 'index.html'}")
