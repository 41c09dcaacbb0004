"""The part of a report that tells of one experiment: scores of classes, a cut, some examples."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.offline.measures import Ranking, ranking
from monitor.offline.report import separation
from monitor.offline.report.page import Picture, Section, Table
from monitor.offline.report.rows import Kind, Shot, draw_rows

Values = NDArray[np.floating]


def experiment(
    title: str,
    scores: Mapping[str, Values],
    cut: float | None,
    *,
    normal: Collection[str],
    rows: Sequence[Shot] = (),
    kind: Kind = "frame",
    notes: Sequence[str] = (),
) -> Section:
    """A section with the histogram of the scores by class, ROC and PR curves, the confusion at the
    cut, a table of the classes, and rows of examples. `write(path, Page(title, sections))` makes a
    file of one or more.

    `scores` has the scores `(n,)` of each class, such as "1" and "9", of which those in `normal`
    count as normal and all others as anomalous. The `cut` has to come from held-out normal
    examples. `rows` are examples with what a model made of them, of one `kind`. Raises ConfigError
    where `normal` names no class.
    """
    if not scores or not set(normal) <= scores.keys():
        raise ConfigError(f"normal classes {sorted(normal)}: valid are {', '.join(scores)}")
    own = {name: np.asarray(each, np.float64) for name, each in scores.items()}
    values = np.concatenate(list(own.values()))
    truth = np.repeat([int(name not in normal) for name in own], list(map(len, own.values())))
    truth = truth.astype(np.int8)
    tables = [ranking_table(title, ranking(truth, values)), _classes(own, cut)]
    if cut is not None:
        tables.append(confusion_table({title: separation.confusion(truth == 1, values, cut)}))
    classes = ", ".join(own)
    drawn = separation.histogram(own, cut, normal)
    pictures = [Picture(drawn, f"Histogram of the scores of {classes}", "Scores by class")]
    if curve := curve_of("area", truth, values):
        alt = f"ROC curve, area {curve.auroc:.4f}; precision and recall, area {curve.auprc:.4f}"
        pictures.append(Picture(separation.curves([curve]), alt))
    if rows:
        pictures.append(examples_picture(rows, kind, "Examples with their scores"))
    return Section(title, notes, tables, pictures)


def examples_picture(shots: Sequence[Shot], kind: Kind, caption: str) -> Picture:
    """Rows of examples; those over the cut have red titles."""
    parts = [
        name
        for name, given in (
            ("rebuilt", any(shot.rebuilt is not None for shot in shots)),
            ("heat map", any(shot.heat is not None for shot in shots)),
        )
        if given
    ]
    below = f"; below each: {' and '.join(parts)}" if parts else ""
    scores = ", ".join(f"{shot.score:.3g}" for shot in shots)
    return Picture(draw_rows(shots, kind), f"{caption}: {scores}", f"{caption}{below}")


def confusion_table(found: Mapping[str, separation.Confusion]) -> Table:
    """Counts at the cut, a row for each of what they are told."""
    heads = "", "found", "missed", "false", "right", "precision", "recall", "F1"
    rows = []
    for name, each in found.items():
        shares = told(each.precision), told(each.recall), told(each.f1)
        rows.append((name, *(f"{count:,}" for count in each), *shares))
    caption = "At the cut: anomalous ones found and missed, normal ones flagged (false) and not"
    return Table(caption, heads, rows)


def told(value: float | None) -> str:
    """Four digits; a dash where there is none."""
    return "-" if value is None else f"{value:.4f}"


def curve_of(name: str, truth: NDArray[np.int8], scores: Values) -> separation.Curve | None:
    """What is to be drawn of a ranking; None where labels are one-sided."""
    found = ranking(truth, scores)
    if found.auroc is None or found.auprc is None:
        return None
    known = (truth >= 0) & ~np.isnan(scores)
    return separation.Curve(name, truth[known] == 1, scores[known], found.auroc, found.auprc)


def ranking_table(name: str, found: Ranking) -> Table:
    """How well scores rank anomalous examples above normal ones."""
    return rankings_table({name: found})


def rankings_table(found: Mapping[str, Ranking]) -> Table:
    """The same of several, a row each."""
    heads = "", "scored", "anomalous", "AUROC", "AUPRC", "F1, best (oracle)"
    rows = []
    for name, each in found.items():
        counts = f"{each.windows:,}", f"{each.anomalous:,}"
        rows.append((name, *counts, told(each.auroc), told(each.auprc), told(each.f1_best)))
    notes = "; ".join(dict.fromkeys(each.note for each in found.values() if each.note))
    caption = "F1, best: at the cut that these very labels would choose"
    return Table(f"{caption}; {notes}" if notes else caption, heads, rows)


def _classes(scores: Mapping[str, Values], cut: float | None) -> Table:
    heads = "class", "examples", "mean", "median", "99 %", "over the cut"
    rows = [(name, *_of_class(own, cut)) for name, own in scores.items()]
    return Table("Scores by class", heads, rows)


def _of_class(own: Values, cut: float | None) -> tuple[str, ...]:
    finite = own[np.isfinite(own)]
    if not len(finite):
        return f"{len(own):,}", "-", "-", "-", "-"
    numbers = (finite.mean(), *np.quantile(finite, (0.5, 0.99)))
    over = "-" if cut is None else f"{(own > cut).mean():.2%}"
    return f"{len(own):,}", *(f"{number:.4g}" for number in numbers), over
