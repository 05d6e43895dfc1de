"""Maps: which genes go with which property of the lesion, and how far to believe it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
from anndata import AnnData

from radiogenesis.api.evaluation import Results
from radiogenesis.api.keywords import settings_of
from radiogenesis.api.runs import as_cohort, as_run, as_runs
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.workers import connected, unprotected
from radiogenesis.errors import SettingError
from radiogenesis.mapping.conventional.enrichment import in_names_of, read_gmt
from radiogenesis.mapping.conventional.plan import sentence
from radiogenesis.mapping.conventional.three_step import conventional_map, inputs_of
from radiogenesis.mapping.prediction.settings import PredictionSettings
from radiogenesis.mapping.replication.prepared import prepare
from radiogenesis.mapping.replication.replication import replicate as replicated
from radiogenesis.mapping.replication.settings import ReplicationSettings
from radiogenesis.mapping.settings import MapSettings, SynthesisSettings
from radiogenesis.mapping.synthesis.runs import open_runs
from radiogenesis.mapping.synthesis.synthesis import map_by_synthesis
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.output import check_place, written
from radiogenesis.pages.mapping.output import write_map
from radiogenesis.pages.mapping.prediction import additions as more_of
from radiogenesis.pages.mapping.replication import replication_addition
from radiogenesis.pages.mapping.synthesis import synthesis_addition
from radiogenesis.progress import Progress, silent
from radiogenesis.training.run import Run


class RadiogenomicMap(Results):
    """What `map` found: tables of links, and metagenes with their links as AnnData."""

    _file = "map.json"

    @property
    def links(self) -> pd.DataFrame:
        """Every metagene against every feature: effect, p, q, what speaks against it, and the verdict.

        Examples:
            >>> {"metagene", "feature", "effect", "q", "verdict"} <= set(rg.open_map("map").links)
            True
        """
        return self.table("links")

    @property
    def synthesis_links(self) -> pd.DataFrame:
        """What the run draws when a metagene is moved, for every metagene and feature. RunError without a run.

        Examples:
            >>> rg.open_map("map").synthesis_links
            Traceback (most recent call last):
            radiogenesis.errors.RunError: map: has no table 'synthesis_links'; choose from: ...
        """
        return self.table("synthesis_links")

    @property
    def data(self) -> AnnData:
        """Metagenes x features as AnnData (map.h5ad), with p and q values as layers.

        Examples:
            >>> rg.open_map("map").data.n_obs > 0
            True
        """
        return anndata.read_h5ad(self.path / "map.h5ad")


def map(
    cohort: Cohort | str | Path,
    path: str | Path,
    *,
    run: Run | str | Path | None = None,
    null_run: Run | str | Path | Sequence[Run | str | Path] = (),
    gmt: str | Path | None = None,
    replicate: Cohort | str | Path | Sequence[Cohort | str | Path] = (),
    scheduler: str = "",
    progress: Progress | None = None,
    **settings: Any,
) -> RadiogenomicMap:
    """Which genes go with which property: `radiogenesis map`.

    Args:
        cohort: the cohort or its path.
        path: the folder to write; must not exist yet.
        run: a run of this cohort that draws, or a gene-autoencoder: adds what it draws, or sees.
        null_run: one or several runs like it with `shuffle_genes=True`.
        gmt: gene sets, such as those of MSigDB.
        replicate: other cohorts, in which the links found are looked for.
        scheduler: address of a running Dask scheduler, whose workers take over the long parts.
        progress: called with (what, 0, 0): nobody knows how much of it there is.
        settings: fields of MapSettings, SynthesisSettings, PredictionSettings and ReplicationSettings.

    Raises:
        RunError: a run of another cohort, or one that does not fit. SettingError: an unknown setting.

    Examples:
        >>> found = rg.map("phantom.zarr", "links", clusters=6, permutations=100, shuffles=1, prediction_folds=0)
        >>> len(found.links) % 6
        0
    """
    kinds = [MapSettings, SynthesisSettings, PredictionSettings, ReplicationSettings]
    how, moving, left_out, elsewhere = settings_of(kinds, settings)
    opened = None if run is None else as_run(run)
    others = [replicate] if isinstance(replicate, Cohort | str | Path) else replicate
    if warning := unprotected(scheduler):
        warnings.warn(warning, stacklevel=2)
    with connected(scheduler) if scheduler else nullcontext():
        mapped(as_cohort(cohort), Path(path), how, moving, left_out, elsewhere, run=opened, nulls=as_runs(null_run),
               gmt=gmt, others=[as_cohort(other) for other in others], progress=progress or silent)  # fmt: skip
    return RadiogenomicMap(Path(path))


def open_map(path: str | Path) -> RadiogenomicMap:
    """Open what `map` wrote. Raises RunError where there is no map.

    Examples:
        >>> rg.open_map("map").path.name
        'map'
    """
    return RadiogenomicMap._open(path)


def mapped(
    cohort: Cohort,
    out: Path,
    settings: MapSettings,
    moving: SynthesisSettings,
    left_out: PredictionSettings,
    elsewhere: ReplicationSettings | None = None,
    *,
    run: Run | None = None,
    nulls: Sequence[Run] = (),
    gmt: str | Path | None = None,
    others: Sequence[Cohort] = (),
    progress: Progress = silent,
    say: Callable[[str], object] = lambda sentence: None,
) -> list[str]:
    """Map a cohort into a folder, whole or not at all. Returns the sentences of what may be concluded.

    Args:
        gmt: gene sets.
        others: cohorts in which the links found are looked for.
        say: is told what could be found, before anything is tested.

    Raises:
        SettingError: nulls, or a backend, without a run that draws; and what the map raises.
    """
    check_place(out)
    encoder = run is not None and isinstance(run.method, GeneAutoencoder)
    if nulls and (run is None or encoder):
        raise SettingError("runs with shuffled genes are read beside a run that draws", remedy="give such a run too")
    gene_sets = read_gmt(gmt) if gmt else None
    trained = None
    if run is not None and encoder:
        run.open_cohort(cohort.path)
    elif run is not None:
        trained = open_runs(run.path, [one.path for one in nulls], cohort, settings.seed, moving.backend)
    if trained is None and moving.backend != "torch":
        raise SettingError(
            f"backend {moving.backend}: nothing is drawn without a run that draws",
            remedy="give a run of fusion-gan, or leave --backend out",
        )
    progress("measuring lesions", 0, 0)
    elsewhere = elsewhere or ReplicationSettings()
    prepared = prepare(cohort, inputs_of(cohort, settings), others, settings, elsewhere)
    material = prepared.first
    if gene_sets is not None and gmt:
        gene_sets, overlap = in_names_of(gene_sets, material.names, gmt)
        material = replace(material, said=(*material.said, overlap))
    progress(f"testing {len(material.names):,} genes against {len(material.features.family)} features", 0, 0)
    conventional = conventional_map(material, settings, gene_sets, lambda plan: say(sentence(plan)))
    additions = more_of(conventional, cohort, left_out, run)  # before the long work: it refuses what cannot be asked
    if trained is not None:
        drawing, shuffled, digests = trained
        moved = map_by_synthesis(
            drawing, cohort, conventional, moving, nulls=shuffled, gene_sets=gene_sets,
            say=lambda what: progress(what, 0, 0),
        )  # fmt: skip
        digests |= {"Cohort's digest": cohort.digest}
        additions.insert(0, lambda folder: synthesis_addition(conventional, moved, folder, cohort.truth, digests))
    if others:
        repeated = replicated(conventional, cohort, prepared, elsewhere)
        additions.insert(0, lambda folder: replication_addition(repeated, conventional, folder))
    progress("predicting patients left out, drawing the page", 0, 0)
    provenance = {"Cohort": f"{cohort.path.name}, digest {cohort.digest[:12]}"}
    provenance |= {"Gene sets": Path(gmt).name} if gmt else {}
    about: dict[str, Any] = {"truth": cohort.truth, "cohort": cohort, "provenance": provenance, "additions": additions}
    return written(lambda path: write_map(conventional, path, **about), out)
