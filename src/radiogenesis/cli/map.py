"""`radiogenesis map COHORT OUT`."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.cli.arguments import add_settings, parser, settings_from

_DESCRIPTION = """Which genes go with which property of the lesion, and how far to believe it.

The conventional map of a cohort: metagenes, features (lesion, image noise, semantic, clinical, radiomic), every
metagene and gene against every feature, beside shuffled genes, the lesion's size and the batches. With a run, what it
draws when genes are moved; with a gene-autoencoder, what its encoder sees in lesions.
`radiogenesis report OUT` makes a page of it."""


def main(arguments: list[str]) -> None:
    """Parse, map, say what may be concluded."""
    from radiogenesis.mapping.prediction_settings import PredictionSettings
    from radiogenesis.mapping.settings import MapSettings, SynthesisSettings

    verb = parser("map", _DESCRIPTION)
    verb.add_argument("cohort", type=str, help="The cohort.")
    verb.add_argument("out", type=str, help="The folder to write.")
    verb.add_argument("--gmt", type=str | None, default=None, help="Gene sets (GMT), such as those of MSigDB.")
    verb.add_argument(
        "--run", type=str | None, default=None, help="A finished run of this cohort that draws, or a gene-autoencoder."
    )
    verb.add_argument(
        "--null_run", type=str, nargs="+", default=[], metavar="RUN", help="Runs of it with --shuffle_genes true."
    )
    add_settings(verb, MapSettings)
    add_settings(verb, SynthesisSettings)
    add_settings(verb, PredictionSettings)
    parsed = verb.parse(arguments)
    settings = settings_from(parsed, MapSettings)
    left_out = settings_from(parsed, PredictionSettings)
    moving = settings_from(parsed, SynthesisSettings)
    if parsed.null_run and not parsed.run:
        verb.error("--null_run is read beside --run: give a run too")
    out = Path(parsed.out)

    from dataclasses import replace

    from radiogenesis.cohort.store import Cohort
    from radiogenesis.mapping.enrichment import in_names_of, read_gmt
    from radiogenesis.mapping.output import write_map
    from radiogenesis.mapping.page_prediction import additions as more_of
    from radiogenesis.mapping.page_synthesis import synthesis_addition
    from radiogenesis.mapping.synthesis import map_by_synthesis
    from radiogenesis.mapping.synthesis_runs import open_runs
    from radiogenesis.mapping.three_step import conventional_map, material_of
    from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
    from radiogenesis.output import check_place
    from radiogenesis.progress import Status
    from radiogenesis.training.run import Run

    check_place(out)
    gene_sets = read_gmt(parsed.gmt) if parsed.gmt else None
    cohort = Cohort.open(parsed.cohort)
    opened = Run.open(parsed.run) if parsed.run else None
    trained = None
    if opened is not None and isinstance(opened.method, GeneAutoencoder):
        opened.open_cohort(cohort.path)
        if parsed.null_run:
            verb.error("--null_run is read beside a run that draws, which a gene-autoencoder does not")
    elif opened is not None:
        trained = open_runs(parsed.run, parsed.null_run, cohort, settings.seed)
    with Status("measuring lesions") as status:
        material = material_of(cohort, settings)
        if gene_sets is not None:
            gene_sets, overlap = in_names_of(gene_sets, material.names, parsed.gmt)
            material = replace(material, said=(*material.said, overlap))
        status.update(f"testing {len(material.names):,} genes against {len(material.features.family)} features")
        made = conventional_map(material, settings, gene_sets)
        additions = more_of(made, cohort, left_out, opened)  # before the long work: it refuses what cannot be asked
        if trained is not None:
            run, nulls, digests = trained
            moved = map_by_synthesis(
                run, cohort, made, moving, nulls=nulls, gene_sets=gene_sets, say=lambda what: status.update(what)
            )
            digests |= {"Cohort's digest": cohort.digest}
            additions.insert(0, lambda folder: synthesis_addition(made, moved, folder, cohort.truth, digests))
        status.update("predicting patients left out, drawing the page")
        provenance = {"Cohort": f"{cohort.path.name}, digest {cohort.digest[:12]}"}
        provenance |= {"Gene sets": Path(parsed.gmt).name} if parsed.gmt else {}
        said = write_map(made, out, truth=cohort.truth, cohort=cohort, provenance=provenance, additions=additions)
    for sentence in said:
        print(sentence)
    print(f"{out}: written; `radiogenesis report {out}` makes a page of it")
