"""The memory of river's models as arrays, so that snapshots can hold it and hand-offs keep it.

Each class below knows one model of river from the inside, names what it remembers, and puts it
into the row of a sensor's slot and back, to the last bit. A model that is not here can be used
where nothing has to be kept: in `monitor replay` and `monitor evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from monitor.detect.online.slot_memory import Field

Row = Mapping[str, NDArray[Any]]
Make = Callable[[], Any]
_MOST = 2**62


class Export(Protocol):
    """How the models of one sensor become a row of each field, and come back from it."""

    def fields(self) -> dict[str, Field]:
        """What is kept of a sensor."""
        ...

    def fixed(self) -> float:
        """A number that is the same for all that can take over each other's rows."""
        ...

    def put(self, models: list[Any], row: Row) -> None:
        """Write what the models remember into a row."""
        ...

    def take(self, row: Row) -> list[Any]:
        """New models that remember what a row holds."""
        ...


class TreesExport:
    """`HalfSpaceTrees`: the masses of all nodes in depth-first order, and how much of a window is
    through. The cuts follow from the seed; their sum tells whether another version of river cuts
    otherwise.
    """

    def __init__(self, make: Make, size: int) -> None:
        self._make, self._size = make, size

    def fields(self) -> dict[str, Field]:
        """Masses of this window and the last, the place in it, and whether one is complete."""
        made = self._grown()
        shape = len(made.trees), len(made._tree_nodes[0])
        mass = Field("int32", shape, 0, made.window_size)
        place = Field("int64", (), 0, made.window_size - 1)
        return {"mass": mass, "last_mass": mass, "place": place, "full": Field("int64", (), 0, 1)}

    def fixed(self) -> float:
        """The sum of all cuts, each with its place and its feature."""
        total = 0.0
        for tree in self._grown()._tree_nodes:
            for place, node in enumerate(tree):
                if hasattr(node, "threshold"):
                    total += (place + 1) * (node.threshold + node.feature)
        return total

    def put(self, models: list[Any], row: Row) -> None:
        """Masses node by node."""
        (model,) = models
        for t, tree in enumerate(model._tree_nodes):
            row["mass"][t] = [node.l_mass for node in tree]
            row["last_mass"][t] = [node.r_mass for node in tree]
        row["place"][...] = model.counter
        row["full"][...] = not model._first_window

    def take(self, row: Row) -> list[Any]:
        """The trees grown from the seed, with these masses."""
        model = self._grown()
        for t, tree in enumerate(model._tree_nodes):
            masses = zip(row["mass"][t].tolist(), row["last_mass"][t].tolist(), strict=True)
            for node, (mass, last) in zip(tree, masses, strict=True):
                node.l_mass, node.r_mass = mass, last
        model.counter = int(row["place"])
        model._first_window = not row["full"]
        return [model]

    def _grown(self) -> Any:
        """Trees with their cuts, of which only the masses and the counter are to be set."""
        model = self._make()
        model.learn_one(dict.fromkeys(range(self._size), 0.0))
        return model


class MomentsExport:
    """`GaussianScorer` and `StandardAbsoluteDeviation`, one for each number: count, mean and sum of
    squares of each running variance and mean in them.
    """

    def __init__(self, make: Make, size: int) -> None:
        self._make, self._size = make, size

    def fields(self) -> dict[str, Field]:
        """Three numbers of each running statistic."""
        return {"moments": Field("float64", (self._size, 6))}

    def fixed(self) -> float:
        """Nothing but the parameters decides what fits."""
        return 0.0

    def put(self, models: list[Any], row: Row) -> None:
        """One line for each number."""
        for line, model in zip(row["moments"], models, strict=True):
            variance, mean = _statistics(model)
            line[:] = variance.mean.n, variance.mean._mean, variance._S, mean.n, mean._mean, 0.0

    def take(self, row: Row) -> list[Any]:
        """Models with these statistics."""
        return [self._taken(line.tolist()) for line in row["moments"]]

    def _taken(self, line: list[float]) -> Any:
        model = self._make()
        variance, mean = _statistics(model)
        variance.mean.n, variance.mean._mean, variance._S, mean.n, mean._mean, _ = line
        return model


class NeighboursExport:
    """`LocalOutlierFactor`: the examples of its window, the oldest first."""

    def __init__(self, make: Make, size: int) -> None:
        self._make, self._size = make, size
        self._window = int(make()._nn.window_size)

    def fields(self) -> dict[str, Field]:
        """The window, and how many of its places are taken."""
        return {
            "examples": Field("float64", (self._window, self._size)),
            "held": Field("int64", (), 0, self._window),
        }

    def fixed(self) -> float:
        """Nothing but the parameters decides what fits."""
        return 0.0

    def put(self, models: list[Any], row: Row) -> None:
        """Example by example; places that are not taken are 0."""
        (model,) = models
        examples = [list(example.values()) for ((example,),) in model._nn.window]
        row["examples"][...] = 0.0
        if examples:
            row["examples"][: len(examples)] = examples
        row["held"][...] = len(examples)

    def take(self, row: Row) -> list[Any]:
        """A model that has learned these examples."""
        model = self._make()
        for example in row["examples"][: int(row["held"])].tolist():
            model.learn_one(dict(enumerate(example)))
        return [model]


def _statistics(model: Any) -> tuple[Any, Any]:
    """The running variance, and the running mean beside it if there is one."""
    if hasattr(model, "gaussian"):
        return model.gaussian._var, model.gaussian._var.mean
    return model.variance, model.sub_stat


EXPORTS: dict[str, Callable[[Make, int], Export]] = {
    "HalfSpaceTrees": TreesExport,
    "GaussianScorer": MomentsExport,
    "StandardAbsoluteDeviation": MomentsExport,
    "LocalOutlierFactor": NeighboursExport,
}
