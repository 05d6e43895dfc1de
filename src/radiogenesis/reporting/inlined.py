"""Pages that are one file and load nothing: what their scripts read, and what their content security policy names."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

_INSIDE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def json_inside(value: Any) -> str:
    """JSON that may stand inside a script element: it cannot end it."""
    text = json.dumps(value, allow_nan=False)
    for letter, written in _INSIDE.items():
        text = text.replace(letter, written)
    return text


def source_hash(text: str) -> str:
    """How a content security policy names an inlined script or style."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") + "'"
