"""What `cohort describe` prints: plain text, complete sentences where a number needs one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.expression import MOST_MISSING
from radiogenesis.cohort.tables.gene_names import some
from radiogenesis.cohort.zarr_tables import expression_values

if TYPE_CHECKING:
    from radiogenesis.cohort.store import Cohort

_SHOWN = 6  # patients named per reason
_LINEAR_ABOVE = 50.0  # no value on a logarithmic scale is as large


def describe(cohort: Cohort) -> str:
    """The whole description."""
    sections = [_heading(cohort), _images(cohort), _expression(cohort), _tables(cohort), _remarks(cohort)]
    sections += [_audit(cohort), _made(cohort)]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _heading(cohort: Cohort) -> list[str]:
    patients = cohort.patients
    lesions = "nodule" if cohort.imaging.organ == "lung" else "lesion"
    trainable = int(((patients["n_slices"] > 0) & patients["has_expression"]).sum())
    return [
        f"Cohort {cohort.path}",
        f"  digest       {cohort.digest}",
        f"  patients     {len(patients)} with images; {trainable} have {lesions} slices and expression",
    ]


def _images(cohort: Cohort) -> list[str]:
    patients = cohort.patients
    nodules, backgrounds = patients[patients["n_slices"] > 0], patients[patients["n_backgrounds"] > 0]
    lines = [
        f"Images of {cohort.pixels} x {cohort.pixels} pixels, {cohort.field_of_view_mm:g} mm"
        f" ({cohort.pixel_mm:.3g} mm per pixel)",
        *([] if cohort.imaging.of_lungs else [f"  of           {cohort.imaging.text}"]),
        f"  slices       {nodules['n_slices'].sum()} from {len(nodules)} patients{_spread(nodules['n_slices'])}",
        f"  backgrounds  {backgrounds['n_backgrounds'].sum()} from {len(backgrounds)} patients",
    ]
    if cohort.whole is not None:
        with_tumor = np.asarray(cohort.whole.slices.tumor.any(axis=(1, 2)))
        lines.append(
            f"  whole slices {len(with_tumor)} of {cohort.whole_pixels} x {cohort.whole_pixels} pixels,"
            f" {cohort.whole.pixel_mm:.3g} mm per pixel, from {len(set(cohort.whole.patient))} patients;"
            f" {with_tumor.sum()} with tumor"
        )
    if len(table := cohort.lesion_table) > len(nodules):
        several = int((table["patient"].value_counts() > 1).sum())
        lines.append(f"  lesions      {len(table)} from {len(nodules)} patients, {several} of them with several")
    volumes = patients["tumour_volume_ml"].dropna()
    if len(volumes):
        lines.append(f"  tumors      median {volumes.median():.3g} ml ({volumes.min():.3g} to {volumes.max():.3g})")
    for label, column, unit in (
        ("scanners", "manufacturer", ""),
        ("kernels", "kernel", ""),
        ("thickness", "slice_thickness_mm", " mm"),
    ):
        lines.append(f"  {label:<12} {_counts(patients[column], unit)}")
    return lines


def _expression(cohort: Cohort) -> list[str]:
    expression = cohort.expression
    if expression.n_obs == 0:
        return ["Expression: none"]
    values = expression_values(expression)
    return [
        f"Expression of {expression.n_vars} genes in {expression.n_obs} patients, raw values",
        *_missing(values, expression.var_names, _with_both(cohort)),
        f"  range        {np.nanmin(values):.4g} to {np.nanmax(values):.4g}; used {_scale(cohort, values)}",
    ]


def _with_both(cohort: Cohort) -> NDArray[np.bool_]:
    """(patients of the expression,) who has images too; everybody where nobody has."""
    shown = cohort.patients.index[cohort.patients["n_slices"] > 0]
    both: NDArray[np.bool_] = np.asarray(cohort.expression.obs_names.isin(shown), bool)
    return both if both.any() else ~both


def _missing(values: NDArray[np.float32], genes: Iterable[str], both: NDArray[np.bool_]) -> list[str]:
    """How many values are missing, and which genes are left out because of that.

    Args:
        values: (patients, genes).
        genes: their names.
        both: (patients,) those who can be learned from: a median is taken over them.
    """
    missing, names = np.isnan(values), np.array(list(genes), object)
    some_missing = missing.any(axis=0)
    lines = [f"  missing      {missing.sum()} values; {(~some_missing).sum()} genes have none missing"]
    if not some_missing.any():
        return lines
    many = missing[both].mean(axis=0) > MOST_MISSING
    lines.append(
        f"               --missing median (the default) fills them in, and leaves out the genes that lack more than a"
        f" fifth in {both.sum()} patients with images: {many.sum()}{_named(names[many])}"
    )
    lines.append(f"               --missing drop leaves out {some_missing.sum()}{_named(names[some_missing])}")
    return lines


def _named(genes: NDArray[Any]) -> str:
    return f" ({some(genes, _SHOWN)})" if len(genes) else ""


def _scale(cohort: Cohort, values: NDArray[np.float32]) -> str:
    """How models take the values, and a warning where that cannot be what was meant."""
    if cohort.expression.uns.get("log", False):
        return "as log10(x + 1)"
    raw = np.nanmin(values) >= 0 and np.nanmax(values) > _LINEAR_ABOVE
    return "as they are" + (": they look like FPKM, TPM or counts, which want --log true" if raw else "")


def _tables(cohort: Cohort) -> list[str]:
    lines = []
    for name, frame in (("annotations", cohort.annotations), ("clinical", cohort.clinical)):
        if frame is not None:
            lines.append(f"  {name:<12} {len(frame)} patients x {frame.shape[1]} columns")
    if cohort.truth is not None:
        truth = cohort.truth
        lines.append(f"  truth        planted: {', '.join(truth.factors.columns)}; {len(truth.gene_effects)} effects")
    return ["Tables", *lines] if lines else []


def _remarks(cohort: Cohort) -> list[str]:
    """What was left out of the tables, taken for something else, or looks odd."""
    said = [str(sentence) for sentence in cohort.expression.uns.get("remarks", [])]
    return ["Remarks", *(f"  {sentence}" for sentence in said)] if said else []


def _audit(cohort: Cohort) -> list[str]:
    lines = ["Patients in the scans and the tables"]
    for status in ("in", "background only", "out"):
        rows = cohort.audit[cohort.audit["status"] == status]
        if rows.empty:
            continue
        lines.append(f"  {status}: {len(rows)}")
        groups = rows.groupby("reason")["patient"].apply(list)
        for reason, patients in sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0]))):
            lines.append(f"    {len(patients):>4}  {reason or 'images and expression'}: {_names(patients)}")
    return lines


def _made(cohort: Cohort) -> list[str]:
    record = cohort.provenance
    by = f"radiogenesis {record.get('radiogenesis')} on Python {record.get('python')}, {record.get('created')}"
    settings = [f"  {name:<12} {_settings(values)}" for name, values in cohort.settings.items()]
    counts = record.get("skipped", {})
    skipped = [f"  skipped      {count} files: {reason}" for reason, count in counts.items()]
    others = record.get("skipped_files", 0) - sum(counts.values())
    if others > 0:
        skipped.append(f"  skipped      {others} files for other reasons")
    layout = [f"  layout       {record['layout']}"] if record.get("layout") else []
    return [f"Made by {by}", *layout, *settings, *skipped]


def _settings(values: object) -> str:
    if not isinstance(values, dict):
        return str(values)
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _spread(counts: pd.Series[int]) -> str:
    return f", {counts.median():g} each ({counts.min()} to {counts.max()})" if len(counts) else ""


def _counts(column: pd.Series[Any], unit: str) -> str:
    counts = column.where(column.notna() & (column != ""), "unknown").value_counts()
    shown = [f"{value}{unit if value != 'unknown' else ''} ({count})" for value, count in counts.items()]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")


def _names(patients: Iterable[str]) -> str:
    names = sorted(patients)
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
