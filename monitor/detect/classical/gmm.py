"""Gaussian mixture: what none of a few modes of operation explains is unusual.

Maximum likelihood by expectation maximisation (Dempster, Laird and Rubin, J. Royal Statistical
Society B 39, 1977), the number of modes by the criterion of Schwarz, Annals of Statistics 6 (1978).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Mixture

from monitor.detect.classical.crosswise import whole
from monitor.detect.classical.mahalanobis import product
from monitor.detect.classical.neighbours import surprise_of
from monitor.detect.classical.rows import TRIM, Floats, Shapes, stored
from monitor.detect.classical.whitened import WhitenedDetector, learned_whitening, white
from monitor.errors import ConfigError
from monitor.types import Array, State

COVARIANCES = ("auto", "full", "diag")
_TRIED = (1, 2, 3, 5, 8)
_SMALLEST_VARIANCE = 1e-2
_ROWS_PER_DIMENSION = 2


class GaussianMixture(WhitenedDetector):
    """Scores how much less likely than at best an example is under a mixture of Gaussians: the
    square root of -log of the ratio, so that it grows as a distance does, about 1 if normal.

    `components` is the number of Gaussians and `covariance` their kind, `full` or `diag`; 0 and
    `auto` leave that to the Bayesian information criterion, which tries 1, 2, 3, 5 and 8, and the
    full kind only where there are 2 d examples for each. It learns from `most` training examples,
    without the share `trim` that is least likely. Raises ConfigError for values that cannot be
    used.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        components: int = 0,
        covariance: str = "auto",
        trim: float = TRIM,
        most: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, trim=trim, most=most, seed=seed)
        if covariance not in COVARIANCES:
            raise ConfigError(f"covariance is {covariance!r}; valid are {', '.join(COVARIANCES)}")
        self.components = whole("components", components, 0)
        self.covariance = covariance
        self._form = (1, "diag")

    def _estimate(self, z: Floats) -> State:
        """Chooses the form once, for all blocks alike."""
        rows = self._drawn(z)
        whitened = white(learned_whitening(rows), rows.astype(np.float32))
        forms = self._forms(len(rows))
        if len(forms) > 1:
            forms.sort(key=lambda form: float(self._mixture(whitened, form).bic(whitened)))
        self._form = forms[0]
        return super()._estimate(rows)

    def _forms(self, count: int) -> list[tuple[int, str]]:
        """Numbers of components and kinds of covariance to choose from, with so many examples."""
        numbers = (self.components,) if self.components else _TRIED
        kinds = COVARIANCES[1:] if self.covariance == "auto" else (self.covariance,)
        enough = {"full": _ROWS_PER_DIMENSION * self.size, "diag": 2}
        forms = [(n, kind) for n in numbers for kind in kinds if n * enough[kind] <= count]
        return forms or [(min(numbers[0], count // 2), kinds[-1])]

    def _mixture(self, rows: Array, form: tuple[int, str]) -> Mixture:
        made = Mixture(
            form[0], covariance_type=form[1], reg_covar=_SMALLEST_VARIANCE, random_state=self.seed
        )
        with warnings.catch_warnings():  # the likelihood is then almost at its best
            warnings.simplefilter("ignore", ConvergenceWarning)
            return made.fit(rows.astype(np.float64))

    def _learned_white(self, rows: Array) -> State:
        mixture = self._mixture(rows, self._form)
        factor, log_size = _factors(mixture.covariances_)
        height = np.log(mixture.weights_) + log_size
        return stored(height=height - logsumexp(height), centre=mixture.means_, factor=factor)

    def _raw_white(self, arrays: State, rows: Array) -> Array:
        squares = self._off_each(arrays, rows).sum(axis=2)
        return np.sqrt(surprise_of(squares, arrays["height"], 0.5))

    def _off(self, arrays: State, rows: Array) -> Array:
        """From the component that explains the row best."""
        off = self._off_each(arrays, rows)
        best = np.argmax(arrays["height"] - 0.5 * off.sum(axis=2), axis=1)
        found: Array = off[np.arange(len(rows)), best]
        return found

    def _off_each(self, arrays: State, rows: Array) -> Array:
        """Squared distances from each component by dimension: `(N, d) -> (N, K, d)`."""
        parts = [
            product(rows - centre, factor) if factor.ndim == 2 else (rows - centre) * factor
            for centre, factor in zip(arrays["centre"], arrays["factor"], strict=True)
        ]
        return np.stack(parts, axis=1) ** 2

    def _kept_white(self, state: State) -> Shapes:
        count = max(state["height"].shape[0], 1)
        sides = 2 if state["factor"].ndim == 3 else 1
        factor = (count, *(self.size,) * sides)
        return {"height": (count,), "centre": (count, self.size), "factor": factor}


def _factors(covariances: Floats) -> tuple[Floats, Floats]:
    """What makes each component round, and minus the log of its size: `(K, d)` or `(K, d, d)`.

    The symmetric inverse square root, so that a dimension stays the same dimension.
    """
    if covariances.ndim == 2:
        return covariances**-0.5, -0.5 * np.log(covariances).sum(axis=1)
    values, vectors = np.linalg.eigh(covariances)
    values = np.maximum(values, _SMALLEST_VARIANCE)
    roots = (vectors / np.sqrt(values)[:, None]) @ vectors.transpose(0, 2, 1)
    return roots, -0.5 * np.log(values).sum(axis=1)
