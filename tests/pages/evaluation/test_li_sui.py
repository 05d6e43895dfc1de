"""`evaluate` on what Li, Sui et al. add: a method that predicts genes, and one that draws without a background."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import known_cohort
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from radiogenesis.api.evaluation import add_figure_6, evaluated
from radiogenesis.cli import demo
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError, SettingError
from radiogenesis.evaluation.genes.prediction import predicts_genes
from radiogenesis.evaluation.measures.fidelity import keeps_background
from radiogenesis.evaluation.other_cohort import Placed
from radiogenesis.evaluation.results import EvaluatedRun
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder, GeneAutoencoderSettings
from radiogenesis.methods.metagene_gan import MetageneGAN, MetageneGANSettings
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet, TumorUNetSettings
from radiogenesis.reporting.model import Page
from radiogenesis.reporting.page import write_report
from radiogenesis.training.preparation import prepare_metagenes
from radiogenesis.training.run import Run

pytestmark = pytest.mark.slow

QUICK = EvaluationSettings(backgrounds_per_patient=2, noise_draws=2, bootstrap=20, permutations=20)
AUTOENCODER = GeneAutoencoderSettings(ltr_pixels=16, widths=(2, 2, 2), code=3, hidden=4)
GAN = MetageneGANSettings(
    region_pixels=16, metagenes=3, clustering="hierarchical", noise=4, width=2, discriminator_width=2
)


class Bright(TumorUNet):
    """Finds what is denser than -100 HU."""

    def probability(self, images: NDArray[np.number]) -> NDArray[np.float32]:
        return (images > -100).astype(np.float32)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return known_cohort.write(tmp_path_factory.mktemp("cohort") / "known.zarr", patients=24, whole=True)


def run_of(subject: EvaluatedRun, cohort: Cohort, folder: Path, **config: object) -> Run:
    """A finished run that lies nowhere."""
    config |= {"method": subject.method_name, "cohort": str(cohort.path), "pixels": 32, "pixel_mm": 6.0}
    run = Run(folder / subject.name, config, subject.provenance)
    vars(run).update(method=subject.method, split=subject.split, scaler=subject.scaler, metrics=subject.metrics)
    return run


@pytest.fixture(scope="module")
def runs(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    torch.manual_seed(0)  # of the weights: else they depend on what ran before
    autoencoder = GeneAutoencoder(AUTOENCODER, genes=known_cohort.GENES)
    gan = MetageneGAN(GAN, genes=known_cohort.GENES, pixels=known_cohort.PIXELS)
    unet = Bright(TumorUNetSettings(widths=(1, 1, 1, 1, 1)), pixels=32)
    finds = known_cohort.subject(cohort, "finds", unet, "tumor-unet")
    reads = known_cohort.subject(cohort, "reads", autoencoder, "gene-autoencoder")
    draws = known_cohort.subject(cohort, "draws", gan, "metagene-gan")
    trained_on = reads.scaler.transform(cohort.expression, reads.split.train)
    autoencoder.begin(trained_on)
    prepare_metagenes(gan, SimpleNamespace(genes=torch.from_numpy(trained_on)), reads.scaler.genes, 0)  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("runs")
    settings = {"metagenes": 3, "clustering": "hierarchical"}
    return [
        run_of(finds, cohort, folder),
        run_of(reads, cohort, folder),
        run_of(draws, cohort, folder, settings=settings),
    ]


@pytest.fixture(scope="module")
def out(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation") / "out"
    evaluated(runs, folder, QUICK, FindSettings())
    return folder


def test_the_stages_share_a_page_and_its_numbers(out: Path) -> None:
    titles = [section.title for section in Page.load(out).sections]
    assert titles[1] == "Finding the tumor"
    assert titles[-2:] == ["Metagenes and the encoder's own features", "Checklists of journals"]
    filled = pd.read_csv(out / "tables" / "checklists.csv").set_index(["checklist", "number"])
    assert filled.loc[("METRICS", 9), "answer"] == "yes"  # tumors found automatically, beside their outlines
    summary = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert (summary["headline"][0]["run"], summary["headline"][0]["name"]) == ("finds", "detection")
    assert {run["name"] for run in summary["runs"]} == {"finds", "reads", "draws"}
    assert summary["find_settings"]["smallest_ml"] == 0.3
    assert list(Page.load(out).conclusions) == summary["conclusions"]
    for stage in ("finds, held-out patients", "reads: Metagenes and encoder features", "reads: it is"):
        assert any(stage in sentence for sentence in summary["conclusions"])
    assert {path.name for path in out.iterdir()} == {"tables", "pictures", "evaluation.json", "made.json", "page.json"}
    assert "Dice of the tumors found" in demo.headline(out)[0]
    assert "Finding the tumor" in write_report(out).read_text(encoding="utf-8")


def test_metagenes_come_with_members_and_stability(out: Path, cohort: Cohort) -> None:
    """Of the metagene GAN, and of figure 6, which are made alike."""
    sections = {section.title: section for section in Page.load(out).sections}
    for name, title in (
        ("metagenes-draws", "Regions from metagenes"),
        ("code_metagenes", "Metagenes and the encoder's"),
    ):
        members, stability = (pd.read_csv(out / "tables" / f"{name}{end}.csv") for end in ("", "_stability"))
        assert sorted(members["gene"]) == sorted(cohort.expression.var_names)
        assert stability["metagene"].tolist() == ["MG001", "MG002", "MG003"]
        assert stability["genes"].sum() == known_cohort.GENES
        assert stability["jaccard"].between(0, 1).all()
        (section,) = (one for key, one in sections.items() if key.startswith(title))
        assert f"{name}_shown.csv" in {block.file for block in section.blocks}
        assert any("adjusted Rand index" in note for note in section.notes)
    for title in ("Metagenes and the encoder's own features", "Regions from metagenes"):
        assert "by hierarchical clustering" in sections[title].notes[-1]


def test_figure_6_needs_eight_patients_and_says_so(runs: list[Run], cohort: Cohort, out: Path, tmp_path: Path) -> None:
    few = Run(runs[1].path, runs[1].config, runs[1].provenance)
    vars(few).update(vars(runs[1]) | {"split": Split(runs[1].split.train, (), runs[1].split.test[:5])})
    copy = shutil.copytree(out, tmp_path / "out")
    before = {"headline": [{"value": math.nan}], "conclusions": ["first"], "runs": []}
    summary = add_figure_6(copy, before, EvaluatedRun.of(few), Placed((), cohort, cohort), QUICK)
    assert summary["conclusions"] == ["reads: no figure 6: 5 held-out patients, and it needs 8.", "first"]
    assert math.isnan(summary["headline"][0]["value"])  # what could not be measured stays a number until it is written
    written = json.loads((copy / "evaluation.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert written["headline"] == [{"value": None}]


def test_what_does_not_go_together_is_refused(runs: list[Run], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no run of tumor-unet"):
        evaluated(runs[1:], tmp_path / "out", QUICK, FindSettings(most=1))
    other = Run(runs[0].path, runs[0].config, {"cohort_digest": "another"})
    vars(other).update(method=runs[0].method)
    with pytest.raises(RunError, match="2 runs of 2 different cohorts cannot stand on one page"):
        evaluated([other, runs[1]], tmp_path / "out", QUICK, FindSettings())
    twin = Run(runs[1].path, runs[0].config, runs[0].provenance)
    vars(twin).update(method=runs[0].method)
    with pytest.raises(RunError, match="different names: reads, reads"):
        evaluated([twin, runs[1]], tmp_path / "out", QUICK, FindSettings())
    assert list(tmp_path.iterdir()) == []


def test_who_is_asked_what() -> None:
    autoencoder = GeneAutoencoder(AUTOENCODER, genes=5)
    gan = MetageneGAN(GAN, genes=5, pixels=32)
    assert (predicts_genes(autoencoder), predicts_genes(gan)) == (True, False)
    assert (keeps_background(gan), keeps_background(known_cohort.Deaf())) == (False, True)


def test_a_method_without_a_background_gets_no_fidelity_but_all_else(out: Path) -> None:
    titles = {section.title: section for section in Page.load(out).sections}
    assert "Is the surrounding lung unchanged?" not in titles
    assert not (out / "tables" / "fidelity.csv").exists()
    assert set(pd.read_csv(out / "tables" / "control.csv")["run"]) == {"draws"}
    assert "not a measure of it" in titles["Regions from metagenes"].text
    shown = {block.file for section in titles.values() for block in section.blocks}
    assert "figure2-draws.png" not in shown  # of backgrounds and weight maps, which it does not have
    assert "figure3-draws.png" in shown


def test_gene_prediction_and_the_figures_are_on_the_page(out: Path) -> None:
    page = Page.load(out)
    files = {block.file for section in page.sections for block in section.blocks}
    assert {"figure7-reads.png", "figure8-draws.png", "figure8-all-draws.png", "genes-reads.csv"} <= files
    for file in files:
        assert (out / ("pictures" if file.endswith("png") else "tables") / file).is_file()
    assert any("genes" in fact.label for fact in page.facts)
    assert any("reads:" in sentence and "genes" in sentence for sentence in page.conclusions)


def test_tables_hold_every_gene_and_patient(out: Path, cohort: Cohort) -> None:
    genes = pd.read_csv(out / "tables" / "genes.csv")
    assert sorted(genes["gene"]) == sorted(cohort.expression.var_names)
    each = pd.read_csv(out / "tables" / "gene_prediction_patients.csv")
    assert (each.groupby("predictor")["patient"].nunique() == each["patient"].nunique()).all()
    assert np.isfinite(each["mae"]).all()
