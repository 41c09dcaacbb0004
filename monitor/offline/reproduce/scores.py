"""The scores of an experiment as one CSV, for figures of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            for number, part in enumerate(told):
                columns = part.items, part.labels, part.detector, part.scores
                table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
                table.to_csv(file, index=False, header=number == 0)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return path
