"""Words that all pages and conclusions share."""

from __future__ import annotations

from collections.abc import Iterable


def coverage(confidence: float) -> str:
    """0.95 -> 95 %, 0.995 -> 99.5 %: what intervals are called."""
    return f"{100 * confidence:.10g} %"


def join(words: Iterable[str]) -> str:
    """a, b and c."""
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def p_text(p: float) -> str:
    """p = 0.012, p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def percent(share: float) -> str:
    """0.913 -> 91 %."""
    return f"{100 * share:z.0f} %".replace("-", "−")
