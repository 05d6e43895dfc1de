"""What a metagene is called where somebody reads it: its id and its most typical genes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from radiogenesis.stats.metagenes import Metagenes

_NAME = re.compile(r"(MG\d+): (.+)")

NAMED = 3
"""Genes in a metagene's name."""


def names_of(metagenes: Metagenes, most: int = NAMED) -> dict[str, str]:
    """Id -> "MG006: SFTPB, SFTPA1, NAPSA"."""
    return {name: f"{name}: {', '.join(metagenes.members(k)[:most])}" for k, name in enumerate(metagenes.ids)}


def in_text(name: str) -> str:
    """The name of a metagene inside a sentence: "MG006 (SFTPB, SFTPA1, NAPSA)"; any other name as it is."""
    named = _NAME.fullmatch(name)
    return f"{named[1]} ({named[2]})" if named else name


def signed(value: float) -> str:
    """A number of two decimals with a typographic minus; only the number, since gene names have hyphens (HLA-A)."""
    return f"{value:z.2f}".replace("-", "−")


def with_names(table: pd.DataFrame, names: Mapping[str, str], *columns: str) -> pd.DataFrame:
    """The table with ids of metagenes in these columns replaced by their names; what is no id stays."""
    return table.assign(**{column: table[column].map(lambda one: names.get(str(one), one)) for column in columns})
