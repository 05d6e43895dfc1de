"""Words that the pages of Li, Sui et al. share."""

from __future__ import annotations


def coverage(confidence: float) -> str:
    """0.95 -> 95 %, 0.995 -> 99.5 %: what the intervals of a page are called."""
    return f"{100 * confidence:.10g} %"
