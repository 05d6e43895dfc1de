"""What may be concluded from a reader study, in sentences: never "no difference" without what could have been seen."""

from __future__ import annotations

import math

from radiogenesis.readers.analysis import PAIRED, AnalysisSettings, Found, cases_needed, meets_the_bar
from radiogenesis.readers.plan import BAR, FEWEST_READERS, MOST_CASES
from radiogenesis.reporting.wording import coverage, percent
from radiogenesis.stats.mrmc import ReaderMean

CONTROLS = "controls against "
REAL = {"pasted": "real lesions on the same backgrounds", "original": "real lesions as they were scanned"}


def conclusions(found: Found, settings: AnalysisSettings) -> list[str]:
    """The sentences on top of the page."""
    attentive = attention(found)
    said = []
    for name, (_, mean) in found.ratings.items():
        if name.startswith("drawn against "):
            said.append(_rated(REAL[name.removeprefix("drawn against ")], mean, attentive, settings))
    said += [_control(name, mean, settings) for name, (_, mean) in found.ratings.items() if name.startswith(CONTROLS)]
    if PAIRED["drawn"] in found.pairs:
        said.append(_picked(found.pairs[PAIRED["drawn"]][1], settings))
    if PAIRED["run"] in found.pairs:
        said.append(_followed(found, settings))
    return said


def attention(found: Found) -> bool | None:
    """Whether readers told lesions with shuffled pixels from real ones; None where they were not asked."""
    controls = [mean for name, (_, mean) in found.ratings.items() if name.startswith(CONTROLS)]
    return controls[0].low > 0.5 if controls else None


def _who(mean: ReaderMean) -> str:
    return f"{mean.readers} reader{'s' if mean.readers > 1 else ''}"


def _interval(mean: ReaderMean, settings: AnalysisSettings, form: str = ".2f") -> str:
    over = "readers and patients" if mean.readers > 1 else "patients"
    if math.isnan(mean.low):
        return f"interval unknown: no difference between {over}"
    low, high = (percent(v) if form == "%" else f"{v:{form}}" for v in (mean.low, mean.high))
    return f"{coverage(settings.confidence)} interval over {over} {low} to {high}"


def _rated(real: str, mean: ReaderMean, attentive: bool | None, settings: AnalysisSettings) -> str:
    figures = f"AUC {mean.value:.2f} ({_interval(mean, settings)}; chance 0.50)"
    start = f"Drawn against {real}, rated by {_who(mean)} on {mean.patients} patients: {figures}"
    if mean.low > 0.5:
        return f"{start}: readers can tell them apart."
    if mean.high < 0.5:
        return f"{start}: readers can tell them apart, and take the drawn ones for the real ones."
    bar = f"the bar (interval between {BAR[0]:.2f} and {BAR[1]:.2f}, at least {FEWEST_READERS} readers)"
    if meets_the_bar(mean) and attentive:
        return f"{start}: by {bar} they cannot be told apart, and the same readers told the shuffled controls."
    if meets_the_bar(mean):
        why = (
            "these readers did not tell the shuffled controls either"
            if attentive is False
            else "no controls were shown"
        )
        return f"{start}: within {bar}, but nothing can be concluded: {why}."
    return f"{start}: undecided: the interval holds 0.50, and {bar} is not met. {_reach(mean, settings)}"


def _reach(mean: ReaderMean, settings: AnalysisSettings) -> str:
    """What the study could have seen, and what would meet the bar."""
    if math.isnan(mean.error):
        return "What it could have shown is unknown: the answers do not differ."
    least = 0.5 + mean.detectable(settings.power, 1 - settings.confidence)
    told = f"an AUC from {least:.2f} up" if least < 1 else "no AUC at all"
    seen = f"With a power of {percent(settings.power)} it would have told {told}"
    needed = cases_needed(mean, settings)
    readers = max(mean.readers, FEWEST_READERS)
    if needed is None:
        return f"{seen}; {readers} readers like these would need more than {MOST_CASES} drawn and as many real cases."
    return f"{seen}; to meet the bar, {readers} readers like these need about {needed} drawn and as many real patients."


def _control(name: str, mean: ReaderMean, settings: AnalysisSettings) -> str:
    verdict = "they looked" if mean.low > 0.5 else "not surely more than chance: their other answers say little"
    return (
        f"Controls (lesions with shuffled pixels) against {REAL[name.removeprefix(CONTROLS)]}: AUC {mean.value:.2f} "
        f"({_interval(mean, settings)}): {verdict}."
    )


def _picked(mean: ReaderMean, settings: AnalysisSettings) -> str:
    figures = f"{percent(mean.value)} right ({_interval(mean, settings, '%')}; chance 50 %)"
    start = f"Which of two on one background is drawn, by {_who(mean)}: {figures}"
    if mean.low > 0.5 or mean.high < 0.5:
        return f"{start}: readers see a difference."
    if math.isnan(mean.error):
        return f"{start}."
    least = 0.5 + mean.detectable(settings.power, 1 - settings.confidence)
    seen = f"{percent(least)} right" if least < 1 else "not even 100 % right"
    return f"{start}: no more than chance; with a power of {percent(settings.power)} it would have told {seen}."


def _followed(found: Found, settings: AnalysisSettings) -> str:
    mean = found.pairs[PAIRED["run"]][1]
    figures = f"{percent(mean.value)} right ({_interval(mean, settings, '%')}; chance 50 %)"
    start = f"Which of two drawings has the property that the genes say, by {_who(mean)}: {figures}"
    above = mean.low > 0.5
    if found.difference is None:
        verdict = "more than chance" if above else "no more than chance"
        return (
            f"{start}: {verdict}; without a control from a run with shuffled genes it is not known what that is worth."
        )
    control = found.pairs[PAIRED["control"]][1]
    apart = found.difference
    beside = (
        f"in pairs of the run with shuffled genes {percent(control.value)} ({_interval(control, settings, '%')}), "
        f"difference {percent(apart.value)} ({_interval(apart, settings, '%')})"
    )
    if above and apart.low > 0:
        return f"{start}; {beside}: readers see that the drawings follow the genes."
    power = ""
    if math.isfinite(apart.error):
        least = percent(apart.detectable(settings.power, 1 - settings.confidence))
        power = f"; with a power of {percent(settings.power)} a difference of {least} would have been told"
    return f"{start}; {beside}: no sign beyond the control that readers see the genes{power}."
