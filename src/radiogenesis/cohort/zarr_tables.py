"""Tables and expression as elements of a Zarr 3 group, in anndata's own format, so that anndata opens them."""

from __future__ import annotations

from typing import Any, cast

import anndata
import numpy as np
import pandas as pd
import zarr
from anndata import AnnData
from anndata.io import read_elem, write_elem
from numpy.typing import NDArray

from radiogenesis.cohort import digest as content

# A slash in a column's name would become a folder in the store: the division slash stands in for it there.
_SLASH, _STAND_IN = "/", "\u2215"


def storable(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with columns that are bool, int64, float64 or text, and text as index.

    Text with missing values becomes a categorical, whose missing values anndata stores as such.
    Raises ValueError where two columns have the same name.
    """
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise ValueError(f"columns appear twice: {sorted({name for name in names if names.count(name) > 1})}")
    index = pd.Index([str(row) for row in frame.index], dtype=object, name=frame.index.name)
    columns = {name: _storable_column(frame.iloc[:, at]) for at, name in enumerate(names)}
    return pd.DataFrame({name: column.set_axis(index) for name, column in columns.items()}, index=index)


def write_frame(group: zarr.Group, name: str, frame: pd.DataFrame) -> None:
    """Write a table that `storable` made."""
    _write(group, name, frame.rename(columns=lambda column: column.replace(_SLASH, _STAND_IN)))


def read_frame(group: zarr.Group, name: str) -> pd.DataFrame:
    """The table as it was written; text with missing values has NaN for them."""
    frame = cast(pd.DataFrame, read_elem(group[name]))
    frame = frame.rename(columns=lambda column: column.replace(_STAND_IN, _SLASH))
    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame[column] = frame[column].astype(object)
    return frame


def storable_expression(expression: AnnData) -> AnnData:
    """Patients x genes with dense float32 values and plain tables of patients and genes."""
    return AnnData(
        expression_values(expression),
        obs=storable(cast(pd.DataFrame, expression.obs)),
        var=storable(cast(pd.DataFrame, expression.var)),
        uns=dict(expression.uns),
    )


def expression_values(expression: AnnData) -> NDArray[np.float32]:
    """(patients, genes) float32, dense, whatever the AnnData holds; NaN throughout where it holds no values."""
    values: Any = expression.X
    if values is None:
        return np.full(expression.shape, np.nan, np.float32)
    return np.ascontiguousarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float32)


def expression_digest(expression: AnnData, *, scale: bool) -> str:
    """sha256 of the values with their tables of patients and genes, as `storable_expression` gives them.

    Args:
        expression: the values.
        scale: whether the digest covers `uns["log"]` too, the one entry that decides what models see; without it, it is
            the digest of a cohort of schema version 1 or 2.
    """
    frames = [cast(pd.DataFrame, expression.obs), cast(pd.DataFrame, expression.var)]
    digests: list[object] = [content.array_digest(expression_values(expression)), *map(content.frame_digest, frames)]
    return content.json_digest([*digests, {"log": bool(expression.uns.get("log", False))}] if scale else digests)


def write_expression(group: zarr.Group, name: str, expression: AnnData) -> None:
    """Write expression that `storable_expression` made."""
    _write(group, name, expression)


def read_expression_element(group: zarr.Group, name: str) -> AnnData:
    """The expression as it was written."""
    return cast(AnnData, read_elem(group[name]))


def _write(group: zarr.Group, name: str, element: Any) -> None:
    # Sharding small tables gains nothing; said explicitly because anndata is about to change its default.
    with anndata.settings.override(auto_shard_zarr_v3=False):
        write_elem(group, name, element)


def _storable_column(column: pd.Series[Any]) -> pd.Series[Any]:
    kind = column.dtype.kind
    if isinstance(column.dtype, pd.CategoricalDtype) or kind not in "biuf":
        missing = column.isna()
        text = column.astype(object).where(missing, column.astype(object).map(str))
        return pd.Series(pd.Categorical(text)) if missing.any() else text.astype(object)
    if column.isna().any():
        return column.astype(np.float64)
    return column.astype({"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64}[kind])
