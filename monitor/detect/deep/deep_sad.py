"""Deep SAD: Deep SVDD that a few labels teach what to keep away from.

Ruff, Vandermeulen, Goernitz, Binder, Mueller, Mueller and Kloft, "Deep semi-supervised anomaly
detection", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from monitor.detect.deep.deep_svdd import DeepSVDD
from monitor.errors import ConfigError
from monitor.types import Array


class DeepSAD(DeepSVDD):
    """Scores as Deep SVDD does; trained with labels, where there are any.

    In the loss an example that is not labelled counts its squared distance from the centre, a
    known normal one `eta` times that, a known anomaly `eta` times the inverse (equation 7 of the
    paper). Without labels it is Deep SVDD. It sees the window's statistics, since a net of few
    labels learns their waveforms by heart; `view` may ask for something else. Raises
    ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "statistics"
    frame_view: ClassVar[str] = "window"
    called = "Deep SAD"

    def __init__(self, shape: Sequence[int], *, eta: float = 1.0, **params: Any) -> None:
        super().__init__(shape, **params)
        if isinstance(eta, bool) or not isinstance(eta, int | float) or not 0 < eta <= 1000:
            raise ConfigError(f"eta is {eta!r}; numbers over 0 and up to 1000 are valid")
        self.eta = float(eta)

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from `(N, *shape)`, labels as in `Trainable`.

        Raises ModelError for too few or unusable examples, and where the embedding collapsed.
        """
        if y is not None and len(y) == len(x):
            x, y = _anomalies_first(x, y)
        super().fit(x, y)


def _anomalies_first(x: Array, y: Array) -> tuple[Array, Array]:
    """The known anomalies, then the others: training holds the last ones out for an early stop."""
    order = np.argsort(y <= 0, kind="stable")
    return x[order], y[order]
