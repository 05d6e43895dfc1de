"""Is this tag the version that everything here names? Prints what CHANGELOG.md says of it: the notes of the release.

python .ci/check_version.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(tag: str, root: Path = ROOT) -> str:
    """The section of CHANGELOG.md, without its heading. Exits with what is wrong where the version is another one."""
    version = tag.removeprefix("v")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    named = {"pyproject.toml": project, "CITATION.cff": cited and cited[1]}
    if wrong := {file: found for file, found in named.items() if found != version}:
        sys.exit(f"the tag is {tag}, but {', '.join(f'{file} has {found}' for file, found in wrong.items())}")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", changes, re.M | re.S)
    if section is None:
        sys.exit(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'")
    return section[1].strip()


if __name__ == "__main__":
    print(main(sys.argv[1]))
