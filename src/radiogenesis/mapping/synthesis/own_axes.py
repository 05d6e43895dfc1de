"""Along which axis of the code a feature is tested: its own, so that nothing is found because it is drawn along.

A generator that draws size moves attenuation a little, too, and a metagene of one then moves both. How much of a
metagene's move goes along the axis that the alignment has for a property asks for this property alone. Whether the
drawings show it is asked besides: `synthesis._links`.
"""

from __future__ import annotations

import numpy as np

from radiogenesis.mapping.synthesis.perturbation import CodeAxes
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.stats.resampling import Floats


def own_axes(axes: CodeAxes, alignment: CanonicalAlignment, slopes: Floats) -> Floats:
    """(K, F) what a deviation along each axis of the code is along each feature's own axis of the alignment.

    Args:
        axes: K, of the code.
        alignment: the code is its code. Its named properties come first among the features, then its further axes.
        slopes: (K, F) how each feature answers, in its standard deviations: taken where the alignment has no named
            axes, and so no axis is a feature's own.

    Returns:
        in standard deviations of the alignment's axis; 0 for a property that the alignment does not use.

    Example:
        A code of size and attenuation, uncorrelated over patients: its axes are the alignment's.

        >>> import numpy as np, torch
        >>> from radiogenesis.methods.canonical_alignment import CanonicalAlignmentSettings
        >>> two = CanonicalAlignment(CanonicalAlignmentSettings(directions=0), genes=2)
        >>> two.gene_weights[:, :2] = torch.eye(2)
        >>> two.in_sample_deviation[:2] = 1.0
        >>> own_axes(CodeAxes(np.eye(2), np.eye(2)), two, np.ones((2, 6)))[:, :3]
        array([[1., 0., 0.],
               [0., 1., 0.]])
    """
    named = len(alignment.settings.named)
    if not named:
        return slopes
    along = axes.lift.T @ alignment.gene_weights.double().cpu().numpy()  # (K, axes of the alignment)
    further = np.flatnonzero(alignment.used[named:]) + named
    return np.concatenate([np.where(alignment.used[:named], along[:, :named], 0.0), along[:, further]], axis=1)
