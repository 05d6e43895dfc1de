"""Gene expression with co-expression modules, some of which drive the appearance factors.

A gene of module m reads x = b * z_m + sqrt(1 - b^2) * e: z_m the module's activity in the patient, e its own noise,
b its loading. Stored is mean + scale * x, a log2 expression like log2(FPKM + 1): no logarithm is needed afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.phantom.factors import FACTORS

# Of 5,172 genes: a driving module holds some 4 %, the others 20 to 150 genes.
DRIVER_SHARE = 0.04
OTHER_SHARE = (0.004, 0.029)
# Of the genes of a driving module so many have no effect of their own: they correlate, and drive nothing.
DECOYS = 0.3


@dataclass(frozen=True)
class GeneModel:
    """Which genes go together, and which of them drive what.

    Attributes:
        genes: (G,) names.
        module: (G,) module of each gene, -1 outside the modules. The first ones drive the factors, in their order.
        loading: (G,) correlation of the gene with its module's activity, signed; 0 outside the modules.
        mean, scale: (G,) of its log2 expression over patients.
        weights: genes x factors, 0 where a gene has no effect.
    """

    genes: tuple[str, ...]
    module: NDArray[np.int64]
    loading: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: pd.DataFrame

    @property
    def modules(self) -> pd.DataFrame:
        """gene, module: `Truth.modules`."""
        return pd.DataFrame({"gene": self.genes, "module": self.module})

    @property
    def gene_effects(self) -> pd.DataFrame:
        """gene, factor, weight; only those that are not zero: `Truth.gene_effects`."""
        gene, factor = np.nonzero(self.weights.to_numpy())
        return pd.DataFrame(
            {
                "gene": np.array(self.genes)[gene],
                "factor": self.weights.columns.to_numpy(object)[factor],
                "weight": self.weights.to_numpy()[gene, factor],
            }
        )


def gene_model(genes: int, modules: int, rng: np.random.Generator, factors: Sequence[str] = FACTORS) -> GeneModel:
    """Draw the modules, the loadings, and the weights of the genes that drive factors.

    Raises:
        ValueError: fewer modules than factors, or too few genes for the modules.
    """
    if modules < len(factors):
        raise ValueError(f"modules {modules}: each of the {len(factors)} factors needs one of its own")
    sizes = _module_sizes(genes, modules, len(factors), rng)
    if sizes.sum() > genes:
        raise ValueError(f"genes {genes}: too few for {modules} modules, which take {sizes.sum()}")
    module = np.full(genes, -1)
    module[: sizes.sum()] = np.repeat(np.arange(modules), sizes)
    module = rng.permutation(module)
    driving = (module >= 0) & (module < len(factors))
    strength = np.where(driving, rng.uniform(0.70, 0.95, genes), rng.uniform(0.40, 0.90, genes))
    sign = np.where(rng.random(genes) < 0.8, 1.0, -1.0)
    loading = np.where(module >= 0, strength * sign, 0.0)

    weights = np.zeros((genes, len(factors)))
    effect = driving & (rng.random(genes) >= DECOYS)
    for factor in range(len(factors)):  # however small the module, one gene drives
        effect[np.flatnonzero(module == factor)[0]] = True
    weights[effect, module[effect]] = np.sign(loading[effect]) * rng.uniform(0.5, 1.5, int(effect.sum()))
    weights /= np.linalg.norm(weights, axis=0)
    names = tuple(f"PG{i:05d}" for i in range(1, genes + 1))
    return GeneModel(
        genes=names,
        module=module,
        loading=loading,
        mean=np.clip(rng.normal(6.0, 2.0, genes), 3.0, 14.0),
        scale=np.exp(rng.normal(np.log(0.6), 0.35, genes)),
        weights=pd.DataFrame(weights, index=pd.Index(names, name="gene"), columns=list(factors)),
    )


def _module_sizes(genes: int, modules: int, factors: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Genes per module; driving modules first."""
    drivers = np.full(factors, max(4, round(DRIVER_SHARE * genes)))
    low, high = np.log(OTHER_SHARE)
    others = np.exp(rng.uniform(low, high, modules - factors)) * genes
    return np.concatenate([drivers, np.maximum(2, np.round(others))]).astype(np.int64)


def draw_activity(model: GeneModel, patients: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(patients, genes): x of the module's docstring, of mean 0 and variance 1 over an endless cohort."""
    activity = rng.standard_normal((patients, int(model.module.max()) + 2))  # the last column for genes of no module
    noise = rng.standard_normal((patients, len(model.genes)))
    drawn: NDArray[np.float64] = activity[:, model.module] * model.loading + noise * np.sqrt(1 - model.loading**2)
    return drawn


def batch_genes(model: GeneModel, share: float, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of the genes that follow the scanner instead of the patient: none of them drives a factor."""
    harmless = np.flatnonzero(~((model.module >= 0) & (model.module < model.weights.shape[1])))
    return np.sort(rng.choice(harmless, min(len(harmless), round(share * len(model.genes))), replace=False))


def missing_values(model: GeneModel, patients: int, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(patients, genes) bool: which values are missing; exactly `fraction` of all, rounded to whole values.

    Weakly expressed genes lose them, each in about a quarter of the patients, so that most genes stay complete, as in
    sequencing data.
    """
    genes = len(model.genes)
    wanted = round(fraction * patients * genes)
    affected = min(genes, max(1, int(np.ceil(4 * wanted / patients)))) if wanted else 0
    weak = np.argsort(model.mean + rng.normal(0, 1, genes))[:affected]
    missing = np.zeros((patients, genes), bool)
    chosen = rng.choice(patients * affected, wanted, replace=False) if wanted else np.empty(0, np.intp)
    missing[chosen // max(affected, 1), weak[chosen % max(affected, 1)]] = True
    return missing


def to_anndata(values: NDArray[np.float64], model: GeneModel, patients: list[str]) -> AnnData:
    """Log2 expression as AnnData, patients x genes, float32: mean + scale * values."""
    return AnnData(
        X=(model.mean + model.scale * values).astype(np.float32),
        obs=pd.DataFrame(index=pd.Index(patients, name="patient")),
        var=pd.DataFrame(index=pd.Index(model.genes, name="gene")),
        uns={"source": "phantom, log2 expression", "log": False},
    )
