"""Known answers: which gene goes with which feature in a planted cohort, and how well a map finds it.

Three questions, from the one a map can answer to the one it cannot:

- "metagene": a metagene is linked with a factor if more than half of its genes belong to the module that drives it;
- "module": a gene is linked with a factor if it belongs to the module that drives it. That is association, which is all
  that a map of correlations claims: decoys correlate with the factor through their module, and count as right;
- "effect": a gene is linked if it has an effect of its own. Decoys count as wrong, and no table of marginal
  correlations can tell them from the others: its precision is bounded near the share of drivers, 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from radiogenesis.cohort.store import Truth
from radiogenesis.stats.metagenes import Metagenes

Question = Literal["module", "effect"]


def planted_links(truth: Truth, genes: Sequence[str], factors: Sequence[str], question: Question) -> NDArray[np.bool_]:
    """(G, F) whether a gene is linked with a factor: by its module, or by an effect of its own."""
    effects = truth.gene_effects
    module = truth.modules.set_index("gene")["module"].reindex(list(genes)).to_numpy()
    linked = np.zeros((len(genes), len(factors)), bool)
    for f, factor in enumerate(factors):
        driving = effects.loc[effects["factor"] == factor, "gene"]
        if question == "effect":
            linked[:, f] = np.isin(np.array(genes, object), driving.to_numpy(object))
        else:
            modules = truth.modules.loc[truth.modules["gene"].isin(driving), "module"].unique()
            linked[:, f] = np.isin(module, modules[modules >= 0])
    return linked


def planted_metagenes(truth: Truth, metagenes: Metagenes, factors: Sequence[str]) -> NDArray[np.bool_]:
    """(K, F) whether more than half of a metagene's genes belong to the module that drives the factor."""
    member = (metagenes.weights != 0).astype(np.float64)  # (G, K)
    share = member.T @ planted_links(truth, metagenes.names, factors, "module") / metagenes.size[:, None]
    linked: NDArray[np.bool_] = share > 0.5
    return linked


def average_precision(score: NDArray[Any], linked: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve of links ranked by |score|; nan scores rank last. nan without links."""
    strength = np.nan_to_num(np.abs(np.asarray(score, np.float64)), nan=-1.0).ravel()
    return float(average_precision_score(linked.ravel(), strength)) if linked.any() else float("nan")


def precision_recall(score: NDArray[Any], linked: NDArray[np.bool_]) -> pd.DataFrame:
    """The curve: threshold, precision, recall."""
    strength = np.nan_to_num(np.abs(np.asarray(score, np.float64)), nan=-1.0).ravel()
    precision, recall, threshold = precision_recall_curve(linked.ravel(), strength)
    return pd.DataFrame({"threshold": np.append(threshold, np.inf), "precision": precision, "recall": recall})
