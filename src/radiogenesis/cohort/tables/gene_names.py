"""Names in the place of a gene that are none: blanks, the dates that Excel makes of symbols, summaries of a count."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.tables.reading import MISSING

_MONTH = (
    "jan|feb|f[eé]v|mar|m[aä]r|mrz|m[aä]rz|apr|avr|abr|may|mai|jun|jul|aug|ago|ao[uû]t?|sept?|set|oct|okt|out|nov|dec|"
    "dez|d[eé]c|dic"
)
_DATE = re.compile(
    rf"\d{{1,2}}[-./ ]+({_MONTH})\.?([-./ ]+\d{{2,4}})?"  # 1-Mar, 01. Mrz, 2-Sep-2021
    rf"|({_MONTH})\.?[-./ ]\d{{2}}"  # Mar-01
    r"|\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?"  # 2021-03-01, as a workbook stores it
    r"|\d{1,2}[/.]\d{1,2}[/.](\d\d){1,2}",  # 3/1/2021, 01.03.21
    re.IGNORECASE,
)
_SUMMARY = re.compile(
    r"__\w+|(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)"  # HTSeq, and before its version 0.6
    r"|N_(unmapped|multimapping|noFeature|ambiguous)"  # STAR
    r"|Assigned|Unassigned_\w+"  # featureCounts
)


_ENSEMBL = re.compile(r"(ENS[A-Z]*\d{6,})\.\d+", re.IGNORECASE)
_NO_NAME, _IS_SUMMARY = "without a name", "summaries of a count"
_TWICE = "dates that Excel makes of names such as MARCH1 and SEPT2, each in the place of several genes"


def sort_out(names: Sequence[str]) -> tuple[NDArray[np.bool_], list[str]]:
    """Which names may be genes', and what is to be said of the others.

    A date that stands once is one gene, whichever it was, and stays; one that stands twice is two genes.
    """
    times, whose = Counter(names), dict[str, list[str]]()
    kept = np.ones(len(names), bool)
    for at, name in enumerate(names):
        if why := _why_none(name, times[name]):
            kept[at] = False
            whose.setdefault(why, []).append(name)
    said = [f"left out, {counted(len(columns), 'gene')}: {why}: {some(columns)}" for why, columns in whose.items()]
    dates = [name for name in times if times[name] == 1 and _DATE.fullmatch(name)]
    if dates:
        said.append(f"kept, {counted(len(dates), 'gene')} under a date that Excel makes of names: {some(dates)}")
    return kept, said


def _why_none(name: str, times: int) -> str:
    """Why a name that stands so many times is no gene's; "" where it may be one."""
    if name.lower() in MISSING or not any(map(str.isalnum, name)):
        return _NO_NAME
    if times > 1 and _DATE.fullmatch(name):
        return _TWICE
    return _IS_SUMMARY if _SUMMARY.fullmatch(name) else ""


def canonical(gene: str) -> str:
    """A gene's identifier without what tools add or change: case, quotes, an Ensembl version, TCGA's "|number"."""
    bare = gene.strip().strip("'\"").split("|")[0]
    return (found[1] if (found := _ENSEMBL.fullmatch(bare)) else bare).casefold()


def columns_of(genes: Sequence[str], table: Sequence[str]) -> NDArray[np.intp]:
    """(G,) where each gene stands among the names of a table, -1 where it does not.

    A gene is the one of the same name, or else the only one of the same canonical identifier.
    """
    exact = {name: at for at, name in enumerate(table)}
    alike = Counter(map(canonical, table))
    only = {canonical(name): at for at, name in enumerate(table) if alike[canonical(name)] == 1}
    return np.array([exact.get(gene, only.get(canonical(gene), -1)) for gene in genes], np.intp)


def counted(number: int, noun: str) -> str:
    """ "1 gene", "2 genes"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def some(names: Iterable[str], most: int = 10) -> str:
    """The first of the names, each once, and how many more there are."""
    once = list(dict.fromkeys(map(str, names)))
    shown = ", ".join(name or "''" for name in once[:most])
    return shown + (f" and {len(once) - most} more" if len(once) > most else "")
