"""The scores of an experiment as CSV, for figures of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.errors import ConfigError

COLUMNS = ("item", "label", "detector", "score")


class Told(NamedTuple):
    """What one detector says of some items, `(n,)` each: their names, whether they are anomalous (1
    or 0, -1 where nobody knows), and its scores, higher for the more anomalous.
    """

    items: Sequence[str]
    labels: NDArray[np.int64]
    detector: str
    scores: NDArray[np.floating]


def write_scores(folder: Path, experiment: str, told: Iterable[Told]) -> Path:
    """`folder/experiment.csv` with a line for each item and detector: item, label, detector, score.

    Raises ConfigError where it cannot be written.
    """
    path = folder / f"{experiment}.csv"
    with _written(path) as file:
        for number, part in enumerate(told):
            columns = part.items, part.labels, part.detector, part.scores
            table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
            table.to_csv(file, index=False, header=number == 0)
    return path


class Recorded(NamedTuple):
    """What one detector says of one recording: raw scores and what they are in units of its
    threshold, `(n,)` each, with the times of its rows.
    """

    file: str
    time: Any
    detector: str
    raw: NDArray[np.floating]
    value: NDArray[np.floating]


def write_series(folder: Path, told: Iterable[Recorded]) -> None:
    """A CSV for each recording and detector, `FILE.DETECTOR.csv`: file, time, detector, raw, value.

    Raises ConfigError where one cannot be written.
    """
    for each in told:
        name = each.file.removesuffix(".csv")
        with _written(folder / f"{name}.{each.detector}.csv") as file:
            pd.DataFrame(each._asdict()).to_csv(file, index=False)


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
