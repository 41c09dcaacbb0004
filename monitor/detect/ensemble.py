"""Several unlike detectors as one, each calibrated on normal windows that it had not learned from.

A level, a shape and a relation between channels are broken by different faults, and no single
detector sees all of them. A member that does not find seeded faults at least as well as the
Mahalanobis distance of the channels' means has no say (`seeded_faults.py`), so a bad one costs
nothing but time.

Members are put on one scale by the highest tenth of their scores of normal windows, or by p-values
(ranks, and a generalised Pareto tail beyond): these are fused by their mean -log p (Fisher,
"Statistical methods for research workers", 1925) or by the Cauchy combination, which holds whatever
the members' dependence (Liu and Xie, "Cauchy combination test", J. American Statistical Association
115, 2020). P-values need many normal windows: of a hundred that overlap, the tail says little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from monitor.arrays import put_under, under
from monitor.detect.member import Member, checked_row
from monitor.detect.seeded_faults import found_by, seeded_faults
from monitor.errors import ConfigError, ModelError
from monitor.features import seen
from monitor.protocols import Explainer
from monitor.types import Array, State

FUSIONS = ("ratio", "log_p", "cauchy")
TRIM = 0.02  # windows overlap: 5 % of them may be one episode, and a normal one
MEMBERS: Sequence[Mapping[str, Any]] = tuple(
    {"detector": "mahalanobis", "params": {"view": view, "trim": TRIM}}
    for view in ("mean", "means", "moments", "newest", "level")
)
MEMBERS_OF_FRAMES: Sequence[str] = ("mahalanobis", "pca", "knn")
REFERENCE = {"view": "mean"}
MINIMUM = 40
_HELD_OUT = 0.25
_MOST_SEEDED = 512
_ENOUGH = 0.02  # a member may be this much worse than the reference, which is within its noise


class Ensemble:
    """Scores how unusual a window is to several detectors together; under 1 for most normal ones.

    `members` are uses of trained detectors: names, or `{detector, params}`, where the parameter
    `view` says what the member sees. `fusion` is `ratio`, the mean of their scores in units of what
    is high for each; `log_p`, the mean of their -log p, for faults that many notice a little; or
    `cauchy`, for faults that one of them notices. `gated` gives a member no weight that finds fewer
    seeded faults than the Mahalanobis distance of the channels' means; of frames all have a
    say, and the default members see `pixels`. `held_out` are the scores of the normal windows that
    `fit` held out. Raises ConfigError for values that cannot be used.
    """

    view: ClassVar[str] = "window"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        members: Sequence[str | Mapping[str, Any]] | None = None,
        fusion: str = "ratio",
        gated: bool = True,
        seed: int = 0,
    ) -> None:
        self.shape = tuple(int(side) for side in shape)
        if fusion not in FUSIONS:
            raise ConfigError(f"fusion is {fusion!r}; valid are {', '.join(FUSIONS)}")
        if members is None:
            members = MEMBERS_OF_FRAMES if len(self.shape) == 3 else MEMBERS
        if isinstance(members, str) or not members:
            raise ConfigError(f"members is {members!r}; valid is a list of detectors")
        self.fusion, self.gated, self.seed = fusion, gated, seed
        self.members = [Member(self.shape, *_use(member)) for member in members]
        self.weights = np.ones(len(self.members), np.float32)
        self.gap = 1
        self.held_out = np.empty(0, np.float32)
        self.metrics: dict[str, float] = {}
        if any(member.localises for member in self.members):
            self.heat_maps = self._heat_maps  # without such a member this is no Localiser

    def fit(self, x: Array, y: Array | None = None) -> None:
        """Learn from scaled windows `(N, C, T)`, in the order of time; anomalies are left out.

        The last quarter, after `gap` windows, calibrates and weighs the members; then they learn
        from all. Raises ModelError for examples that are too few or of another shape.
        """
        normal = x if y is None else x[np.asarray(y) <= 0]
        if x.shape[1:] != self.shape:
            raise ModelError(f"examples have shape {x.shape[1:]}; valid is {self.shape}")
        if len(normal) < MINIMUM:
            raise ModelError(f"{len(normal)} examples are not anomalies; at least {MINIMUM} needed")
        edge = len(normal) - max(round(_HELD_OUT * len(normal)), MINIMUM // 2)
        training, held_out = normal[: max(edge - self.gap, edge // 2)], normal[edge:]
        for member in self.members:
            member.fit(training)
            member.calibrate(member.raw(held_out))
        if self.gated and x.ndim == 3:
            self._weigh(training, held_out[:: -(-len(held_out) // _MOST_SEEDED)])
        self.held_out = self.score(held_out)
        for member in self.members:
            member.fit(normal)

    def score(self, x: Array) -> Array:
        """`(N, C, T) -> (N,)`. Raises ModelError before training."""
        found = self._opinions(x)
        if self.fusion == "cauchy":
            return _cauchy(found, self._shares())
        fused = np.zeros(len(x), np.float32)
        for share, opinion in zip(self._shares(), found.T, strict=True):
            fused += share * opinion
        return fused

    def contributions(self, x: Array) -> Array:
        """The share of each channel: `(N, C, T) -> (N, C)`, by the members that can say, each as
        much as it was surprised.
        """
        total = np.zeros((len(x), self.shape[0]), np.float32)
        for share, member in zip(self._shares(), self.members, strict=True):
            if share > 0 and isinstance(member.detector, Explainer):
                parts = member.detector.contributions(seen(member.view, x))
                total += share * member.surprise(x)[:, None] * parts
        whole = total.sum(axis=1, keepdims=True)
        even = np.where(self.score(x)[:, None] > 0, np.float32(1 / self.shape[0]), np.float32(0))
        shares: Array = np.where(whole > 0, total / (whole + (whole <= 0)), even)
        return shares

    def compile(self, chunk: int, backend: str = "auto") -> Any:
        """The score for calls of exactly `chunk` examples, each net as fast as the backend can."""
        backends = []
        for member in self.members:
            if hasattr(member.detector, "compile"):
                member.score = member.detector.compile(chunk, backend)
                backends.append(str(getattr(member.score, "backend", "numpy")))
        return _Program(self.score, "+".join(sorted(set(backends))) or "numpy")

    def state(self) -> State:
        """Weights, and every member's arrays under its place."""
        state: State = {"weights": self.weights.copy()}
        for place, member in enumerate(self.members):
            state |= put_under(str(place), member.state())
        return state

    def restore(self, state: State) -> None:
        """Take arrays from `state()`. Raises ModelError where they do not fit."""
        weights = checked_row("ensemble", state.get("weights"))
        places = {key.partition("/")[0] for key in state} - {"weights"}
        if weights.shape != self.weights.shape or places != set(map(str, range(len(weights)))):
            raise ModelError(
                f"the state is of {len(weights)} members; this ensemble has {len(self.members)}"
            )
        if (weights < 0).any() or not weights.any():
            raise ModelError(f"weights are {weights.tolist()}; valid are some over 0, none below")
        for place, member in enumerate(self.members):
            member.restore(under(str(place), state))
        self.weights = weights

    def _weigh(self, training: Array, normal: Array) -> None:
        """No weight for members that find fewer seeded faults than the reference."""
        reference = Member(self.shape, "mahalanobis", REFERENCE)
        reference.fit(training)
        faulty = seeded_faults(normal, self.seed)
        needed = _ability(reference, normal, faulty)
        for place, member in enumerate(self.members):
            ability = _ability(member, normal, faulty)
            self.metrics[f"ability_{place}_{member.label}"] = ability
            self.weights[place] = ability >= needed - _ENOUGH
        self.metrics["ability_needed"] = needed
        if not self.weights.any():
            self.weights[:] = 1

    def _heat_maps(self, x: Array) -> Array:
        """`(N, *shape) -> (N, rows, columns)`: the map of the member, of those that have one, that
        is most surprised; of one with a say, if there is any.
        """
        able = [place for place, member in enumerate(self.members) if member.localises]
        able = [place for place in able if self.weights[place] > 0] or able
        surest = np.argmax([self.members[place].surprise(x) for place in able], axis=0)
        maps = np.zeros((len(x), *self.shape[-2:]), np.float32)
        for rank, place in enumerate(able):
            rows = np.flatnonzero(surest == rank)
            if len(rows):
                member = self.members[place]
                maps[rows] = member.detector.heat_maps(seen(member.view, x[rows]))
        return maps

    def _opinions(self, x: Array) -> Array:
        """What each member says on the scale that is fused: `(N, *shape) -> (N, M)`."""
        of_scores = self.fusion == "ratio"
        return np.stack([m.ratio(x) if of_scores else m.surprise(x) for m in self.members], axis=1)

    def _shares(self) -> Array:
        shares: Array = self.weights / self.weights.sum()
        return shares


class _Program(NamedTuple):
    """The ensemble's score with compiled members."""

    score: Callable[[Array], Array]
    backend: str

    def __call__(self, x: Array) -> Array:
        return self.score(x)


def _use(member: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Detector and parameters of a member."""
    if isinstance(member, str):
        return member, {}
    if not isinstance(member, Mapping) or not {"detector"} <= set(member) <= {"detector", "params"}:
        raise ConfigError(
            f"members: {member!r} is none; valid is a detector's name, or detector and params"
        )
    return str(member["detector"]), dict(member.get("params") or {})


def _ability(member: Member, normal: Array, faulty: Mapping[str, Array]) -> float:
    """How well a member finds faults, in the mean over their kinds: 0.5 is chance, 1 is all."""
    usual = member.raw(normal)
    return float(np.mean([found_by(usual, member.raw(x)) for x in faulty.values()]))


def _cauchy(surprises: Array, shares: Array) -> Array:
    """-log of the combined p: the tail of a Cauchy variable is 1 / (pi p) as p goes to 0, so the
    combination is done with 1 / p where p is too small for a tangent.
    """
    fused = np.zeros(len(surprises), np.float64)
    for share, surprise in zip(shares.tolist(), surprises.T.astype(np.float64), strict=True):
        p = np.exp(-np.minimum(surprise, 600.0))
        tangent = np.where(p < 1e-8, 1 / (np.pi * p), np.tan(np.pi * (0.5 - np.minimum(p, 1.0))))
        fused += share * tangent
    p = np.where(fused > 1e8, 1 / (np.pi * np.maximum(fused, 1.0)), 0.5 - np.arctan(fused) / np.pi)
    return np.maximum(-np.log(p), 0).astype(np.float32)
