"""`radiogenesis explore RUN OUT.html`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from radiogenesis.errors import SettingError

_DESCRIPTION = """One HTML page on which a gene is moved and the drawn lesion follows, with the evidence beside each
slider.

It opens in a browser without a server, a network or Python, and sends nothing. Give --map, the folder that
`radiogenesis map COHORT OUT --run RUN` wrote: without it no slider's effect is told from chance, and there are no
metagenes.

The page holds the generator's weights and the backgrounds that it shows. Of a cohort of real patients it therefore asks
which backgrounds may be shown, and looks for copies of training lesions, or reads in --evaluation what was found.

`radiogenesis explore RUN --serve` serves the same page to this machine alone, and draws with torch: for a scan of your
own as background, and for large images. What it reads of yours is kept in memory until it ends."""


def main(arguments: list[str]) -> None:
    """Parse, gather, write the page."""
    from radiogenesis.backends.names import Backend
    from radiogenesis.cli.arguments import add_settings, parser, settings_from

    verb = parser("explore", _DESCRIPTION)
    verb.add_argument("run", type=str, help="A finished run of fusion-gan.")
    verb.add_argument("out", type=str | None, nargs="?", default=None, help="The HTML file to write; not with --serve.")
    verb.add_argument("--map", type=str | None, default=None, help="What `radiogenesis map ... --run RUN` wrote.")
    verb.add_argument(
        "--evaluation", type=str | None, default=None,
        help="What `radiogenesis evaluate RUN` wrote: its examination for copies is read instead of being made.",
    )  # fmt: skip
    verb.add_argument("--null_run", type=str | None, default=None, help="A run trained with --shuffle_genes true.")
    verb.add_argument("--gmt", type=str | None, default=None, help="Gene sets (GMT), such as those of MSigDB.")
    verb.add_argument("--cohort", type=str | None, default=None, help="The run's cohort, where it has moved.")
    verb.add_argument(
        "--backgrounds_from", type=str | None, default=None, help="Another cohort to take backgrounds from: a phantom."
    )
    verb.add_argument(
        "--serve", action="store_true",
        help="Serve the page on 127.0.0.1 until Ctrl+C, instead of writing it; needs radiogenesis[serve].",
    )  # fmt: skip
    verb.add_argument("--port", type=int, default=0, help="Of --serve; 0 takes a free one.")
    verb.add_argument("--upload_mb", type=int, default=2048, help="The most that a scan may have, with --serve, in MB.")
    verb.add_argument(
        "--backend", type=Backend, default="torch",
        help="What draws, with --serve: torch, or onnx or openvino, which are faster and need radiogenesis[fast].",
    )  # fmt: skip

    from radiogenesis.explorer.content import ExploreSettings

    add_settings(verb, ExploreSettings)
    parsed = verb.parse(arguments)

    given = {
        name: getattr(parsed, name) for name in ("map", "evaluation", "null_run", "gmt", "cohort", "backgrounds_from")
    } | asdict(settings_from(parsed, ExploreSettings))
    if parsed.serve == (parsed.out is not None):
        raise SettingError("give the HTML file to write, or --serve", remedy="one of the two")
    if parsed.serve:
        _serve(parsed.run, parsed.port, parsed.upload_mb, given | {"backend": parsed.backend})
    elif parsed.backend != "torch":
        raise SettingError("a page draws in the browser: --backend goes with --serve", remedy="leave --backend out")
    else:
        _write(parsed.run, parsed.out, given)


def _write(run: str, out: str, given: dict[str, Any]) -> None:
    from radiogenesis.api.explorer import explore

    page = explore(run, out, **given)
    size = page.path.stat().st_size / 2**20
    print(
        f"{page.path}: {page.moves} sliders, {page.supported} with an effect above chance; {size:.1f} MB, opens offline"
    )
    for remark in page.remarks:
        print(remark)
    for shown, patient in page.patients.items():
        print(f"  {shown} is {patient}")


def _serve(run: str, port: int, upload_mb: int, given: dict[str, Any]) -> None:
    from radiogenesis.api.explorer import serve_explorer

    if upload_mb < 1:
        raise SettingError(f"upload_mb is {upload_mb}, must be at least 1")

    def say(line: str) -> None:
        shown = f"{line}\nOpen this address in a browser of this machine. Ctrl+C ends it."
        print(shown if line.startswith("http://") else line, flush=True)

    serve_explorer(run, say=say, port=port, upload_mb=upload_mb, **given)
