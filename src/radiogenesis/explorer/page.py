"""One HTML file from what it holds: no server, no network, nothing beside it.

ONNX Runtime Web (vendored, compressed), the generator and all numbers are in the file. Its content security policy lets
it load nothing, and run only the scripts that were written into it. The same page served by `explorer.server` has
another drawing engine: it holds no generator and no image, and asks that server alone.
"""

from __future__ import annotations

import base64
import gzip
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from radiogenesis.explorer.content import Content
from radiogenesis.explorer.moves import Move
from radiogenesis.output import check_place, write_text
from radiogenesis.reporting.inlined import json_inside, source_hash

_EXPORTS = re.compile(r"export\{([^}]*)\};")


def write_page(content: Content, out: Path) -> None:
    """Write the page, whole or not at all. Raises OutputError where something is there already."""
    check_place(out)
    write_text(out, html_of(content))


def html_of(content: Content, *, served: bool = False) -> str:
    """The page as HTML; `served`: with the server that sent it as its drawing engine."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("radiogenesis.explorer", "static"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    scripts = _scripts(served)
    return environment.get_template("explorer.html.j2").render(
        content=content,
        served=served,
        policy=policy(served=served),
        style=Markup(_static("explorer.css")),
        scripts=[Markup(script) for script in scripts],
        data=Markup(json_inside(_plain(content, served))),
        wasm=Markup("" if served else base64.b64encode(_vendored("ort-wasm-simd-threaded.wasm.gz")).decode("ascii")),
    )


def policy(*, served: bool) -> str:
    """The content security policy: nothing is loaded or sent, but to the server that sent the page; only the page's
    scripts run. ONNX Runtime compiles WebAssembly."""
    run = " ".join(map(source_hash, _scripts(served)))
    compiled, asked = ("", "'self'") if served else (" 'wasm-unsafe-eval'", "'none'")
    return (
        f"default-src 'none'; script-src {run}{compiled}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {asked}; form-action 'none'; base-uri 'none'"
    )


@cache
def _scripts(served: bool) -> tuple[str, ...]:
    engine = [_static("engine_server.js")] if served else [_runtime(), _static("engine_onnx.js")]
    return (*engine, _static("explorer.js"))


def _runtime() -> str:
    """ONNX Runtime Web as a script of its own, which leaves `ort` for the next one instead of exporting it."""
    text = _vendored("ort.wasm.bundle.min.mjs").decode("utf-8")
    text = re.sub(r"^//# sourceMappingURL=.*$", "", text, flags=re.MULTILINE)
    (exported,) = _EXPORTS.findall(text)
    names = dict(reversed(pair.split(" as ")) for pair in exported.split(","))
    wanted = ", ".join(f"{name}: {names[name]}" for name in ("InferenceSession", "Tensor", "env"))
    return _EXPORTS.sub(lambda _: f"globalThis.ort = {{{wanted}}};", text)


def _static(name: str) -> str:
    return (files("radiogenesis.explorer") / "static" / name).read_text(encoding="utf-8")


def _vendored(name: str) -> bytes:
    return (files("radiogenesis.explorer") / "static" / "vendor" / name).read_bytes()


def _plain(content: Content, served: bool) -> dict[str, Any]:
    """What the page's scripts read; where a server draws, without what it draws from."""
    shuffled, kept = content.shuffled, (lambda values: "") if served else packed
    return {
        "run": content.run,
        "pixels": content.backgrounds.shape[-1],
        "pixel_mm": content.pixel_mm,
        "window": content.window,
        "windows": {key: [low, high] for key, (_, low, high) in content.windows.items()},
        "unit": content.imaging.unit,
        "level": [content.imaging.per_number, content.imaging.level(0.0)],
        "sides": content.sides,
        "vector": content.vector,
        "backgrounds": {"names": content.background_names, "values": kept(content.backgrounds.astype("<i2"))},
        "patients": {"names": content.patient_names, "codes": packed(content.patients.astype("<f4"))},
        "noise": {"count": len(content.noise), "values": kept(content.noise.astype("<f4"))},
        "code": content.patients.shape[1],
        "model": packed(content.model),
        "moves": [_slider(move) for move in content.moves],
        "move_codes": packed(np.stack([move.code for move in content.moves]).astype("<f4")),
        "shuffled": shuffled and {
            "run": shuffled.name, "model": packed(shuffled.model), "codes": packed(shuffled.patients.astype("<f4")),
            "move_codes": packed(shuffled.moves.astype("<f4")), "code": shuffled.patients.shape[1],
        },
        "provenance": content.provenance,
    }  # fmt: skip


def _slider(move: Move) -> dict[str, Any]:
    evidence = [
        [e.feature, e.text, e.verdict, e.supported, None if np.isnan(e.size) else e.size] for e in move.evidence
    ]
    return {"kind": move.kind, "name": move.name, "detail": move.detail, "why": move.why, "evidence": evidence}


def packed(values: NDArray[Any] | bytes) -> str:
    """Bytes, compressed, as text."""
    raw = values if isinstance(values, bytes) else np.ascontiguousarray(values).tobytes()
    return base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode("ascii")
