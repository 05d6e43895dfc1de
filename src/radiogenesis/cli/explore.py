"""`radiogenesis explore RUN OUT.html`."""

from __future__ import annotations

from dataclasses import asdict

_DESCRIPTION = """One HTML page on which a gene is moved and the drawn lesion follows, with the evidence beside each
slider.

It opens in a browser without a server, a network or Python, and sends nothing. Give --map, the folder that
`radiogenesis map COHORT OUT --run RUN` wrote: without it no slider's effect is told from chance, and there are no
metagenes.

The page holds the generator's weights and the backgrounds that it shows. Of a cohort of real patients it therefore asks
which backgrounds may be shown, and for an evaluation that looked for copies of training lesions."""


def main(arguments: list[str]) -> None:
    """Parse, gather, write the page."""
    from radiogenesis.cli.arguments import add_settings, parser, settings_from

    verb = parser("explore", _DESCRIPTION)
    verb.add_argument("run", type=str, help="A finished run of fusion-gan.")
    verb.add_argument("out", type=str, help="The HTML file to write.")
    verb.add_argument("--map", type=str | None, default=None, help="What `radiogenesis map ... --run RUN` wrote.")
    verb.add_argument("--evaluation", type=str | None, default=None, help="What `radiogenesis evaluate RUN` wrote.")
    verb.add_argument("--null_run", type=str | None, default=None, help="A run trained with --shuffle_genes true.")
    verb.add_argument("--gmt", type=str | None, default=None, help="Gene sets (GMT), such as those of MSigDB.")
    verb.add_argument("--cohort", type=str | None, default=None, help="The run's cohort, where it has moved.")
    verb.add_argument(
        "--backgrounds_from", type=str | None, default=None, help="Another cohort to take backgrounds from: a phantom."
    )

    from radiogenesis.explorer.content import ExploreSettings

    add_settings(verb, ExploreSettings)
    parsed = verb.parse(arguments)

    from radiogenesis.api.explorer import explore

    page = explore(
        parsed.run, parsed.out, map=parsed.map, evaluation=parsed.evaluation, null_run=parsed.null_run, gmt=parsed.gmt,
        cohort=parsed.cohort, backgrounds_from=parsed.backgrounds_from,
        **asdict(settings_from(parsed, ExploreSettings)),
    )  # fmt: skip
    size = page.path.stat().st_size / 2**20
    print(
        f"{page.path}: {page.moves} sliders, {page.supported} with an effect above chance; {size:.1f} MB, opens offline"
    )
    for remark in page.remarks:
        print(remark)
    for shown, patient in page.patients.items():
        print(f"  {shown} is {patient}")
