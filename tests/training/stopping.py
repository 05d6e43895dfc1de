"""How to stop a training, and that it came to the same all the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from radiogenesis.training import fit
from radiogenesis.training.run import Run


def stop_at(call: int, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Let a training end with `error` when its training step is called for the `call`-th time."""
    step, calls = fit.MethodModule.training_step, 0

    def stopped(self: fit.MethodModule, batch: object, index: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        step(self, batch, index)  # type: ignore[arg-type]

    patch.setattr(fit.MethodModule, "training_step", stopped)


def assert_same_weights(got: Run, expected: Run) -> None:
    """The same, bit by bit."""
    a, b = (load_file(run.path / "weights.safetensors") for run in (expected, got))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(b[name].numpy(), a[name].numpy(), err_msg=name)


def assert_same(got: Run, expected: Run) -> None:
    """The same weights, and the same lines of metrics but for the time they took, to the last digit that is written."""
    assert_same_weights(got, expected)
    timing = ["images_per_second", "loading_share"]
    one, other = (pd.read_csv(run.path / "metrics.csv", dtype=str).drop(columns=timing) for run in (expected, got))
    pd.testing.assert_frame_equal(one, other)
