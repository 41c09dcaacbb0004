"""Every detector of the table keeps the promises of its protocol."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detect import DETECTORS, build, learns_online, view_of
from monitor.features import seen_shape
from monitor.testing import check_detector, check_online

QUICK: dict[str, dict[str, Any]] = {
    "adacos": {"epochs": 2, "latent": 8},
    "doc": {"epochs": 1, "latent": 8},
    "l2_softmax": {"epochs": 2, "latent": 8},
    "ae_mahalanobis": {"epochs": 2},
    "conv_ae": {"epochs": 4},
    "contrastive": {"epochs": 1, "latent": 8, "memory": 16},
    "deep_sad": {"epochs": 2},
    "deep_svdd": {"epochs": 4},
    "deviation": {"epochs": 5},
    "dense_ae": {"epochs": 2},
    "fastflow": {"dimensions": 4, "epochs": 1, "steps": 2},
    "flow": {"epochs": 2},
    "gan": {"epochs": 2},
    "masked_ae": {"epochs": 2},
    "padim": {"dimensions": 16, "most": 40},
    "patchcore": {"memory": 100, "most": 40},
    "vae": {"epochs": 2},
}
WINDOWS = [(1, 32), (3, 21)]
PICTURES: dict[str, list[tuple[int, ...]]] = {  # of those that see no windows
    "fastflow": [(1, 32, 32), (3, 32, 36)],
    "deep_gaussian": [(32, 40), (3, 32, 36)],
    "padim": [(1, 32, 32), (3, 32, 36)],
    "patchcore": [(1, 32, 32), (3, 32, 36)],
}


def shape_of_window(name: str, place: int) -> tuple[int, ...]:
    return seen_shape(view_of(name, {}), WINDOWS[place])


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_detector_of_the_table_keeps_its_promises(name: str, place: int) -> None:
    shape = PICTURES[name][place] if name in PICTURES else shape_of_window(name, place)

    def make() -> Any:
        return build(name, shape, **QUICK.get(name, {}))

    if learns_online(name):
        check_online(make)
    else:
        check_detector(make)
