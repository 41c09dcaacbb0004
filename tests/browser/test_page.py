"""The operator page in a real Chromium, over a served View."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monitor.errors import MonitorError
from monitor.serve.app import PAGE
from monitor.serve.http import Server
from monitor.serving import ServeConfig
from monitor.view import View
from tests.browser.chromium import Visit, photograph, visit
from tests.served import alert, evidence, fleet, growing, hashed, lane

EVIL = '<img src=x onerror="document.title=1">&amp;'


def see(view: Callable[[], View], address: str = "") -> Visit:
    """The page over this view."""
    with Server(view, ServeConfig(port=0)) as server:
        return visit(f"{server.url}/{address}")


def test_the_page_shows_the_firing_alert_the_fleet_and_the_process() -> None:
    seen = see(growing(time.time))
    page = seen.page
    assert seen.complaints == []
    assert page.one(id="state").text == "ready"
    assert "hidden" in page.one(id="banner").attributes
    assert page.one("title").text == "(1) monitor"

    card = page.one(id="open").one("button")
    assert card.text.startswith("▲ critical pump-07 3 of 5 windows above the threshold")
    assert card.one("time").text.endswith("ago")
    assert [share.text for share in card.every(class_="share")] == ["x 70 %", "y 20 %", "z 10 %"]

    cells = page.one(id="cells").every("button")
    assert [cell.text for cell in cells[:2]] == ["pump-07 ▲ 4.20", "pump-03 1.20"]
    assert [cell.attributes["data-level"] for cell in cells[:3]] == ["critical", "warning", "watch"]
    assert len(cells) == 48
    assert cells[-1].text == "fan-03 warm-up"

    rows = [row.text for row in page.one(id="recent").every("tr")]
    assert rows[0].startswith("▲ critical pump-07")
    assert rows[1].startswith("✓ resolved pump-11")
    assert [row.text for row in page.one(id="partitions").every("tr")] == [
        "plant.vibration 0 12,000 0",
        "plant.vibration 1 12,001 3",
    ]
    assert page.one(id="models").every("tr")[0].text.startswith("vibration conv_ae pumps 3")


def test_the_open_alert_is_chosen_and_its_scores_are_drawn_against_the_threshold() -> None:
    page = see(growing(time.time)).page
    assert page.one(id="detail-head").one("h3").text == "pump-07"
    assert page.one(id="charts").every(class_="readout")[0].text == (
        "4.20\N{MULTIPLICATION SIGN} · score 1.05 · threshold 0.25"
    )
    charts = page.one(id="charts").every("svg")
    assert len(charts) == 3
    assert charts[0].attributes["aria-label"] == (
        "conv_ae: 4.20 thresholds, anomalous, 60 recent windows"
    )
    for chart in charts:
        line = chart.one("path", class_="line").attributes["d"] or ""
        assert len(re.findall("[ML]", line)) == 60
        assert chart.one("line", class_="limit")
    assert len(charts[0].every("circle", class_="hot")) == 10
    assert charts[2].every("circle", class_="hot") == []


def test_the_address_chooses_a_sensor() -> None:
    page = see(growing(time.time), "#vibration/fan-04").page
    assert page.one(id="detail-head").one("h3").text == "fan-04"
    pressed = page.one(id="cells").every("button", aria_pressed="true")
    assert [cell.attributes["title"] for cell in pressed] == ["vibration / fan-04"]


def test_a_process_that_stands_still_is_told_in_a_banner() -> None:
    page = see(lambda: replace(fleet(), published=time.time() - 100.0)).page
    assert page.one(id="state").text == "not ready"
    assert "hidden" not in page.one(id="banner").attributes
    assert re.search(r"progress: published 10\d\.\d s ago", page.one(id="banner").text)


def test_what_fails_just_now_is_told() -> None:
    failing = {"delivery": "kafka: 127.0.0.1:9 refused", "snapshots": "disk full"}
    page = see(lambda: replace(fleet(time.time()), failing=failing)).page
    assert [item.text for item in page.one(id="failing").every("li")] == [
        "delivery failing kafka: 127.0.0.1:9 refused",
        "snapshots failing disk full",
    ]
    assert "delivery: kafka: 127.0.0.1:9 refused" in page.one(id="banner").text
    assert "disk full" not in page.one(id="banner").text, "it is ready all the same"


def test_the_page_works_behind_a_login() -> None:
    login = {"users": {"anna": hashed("correct: horse")}}
    settings = ServeConfig.model_validate({"port": 0, "login": login})
    with Server(growing(time.time), settings) as server:
        known = server.url.replace("//", "//anna:correct%3A%20horse@")
        seen = visit(known)
        assert seen.complaints == []
        assert seen.page.one(id="state").text == "ready"
        assert len(seen.page.one(id="cells").every("button")) == 48
        assert visit(server.url).page.every(id="state") == []


def test_an_api_that_fails_is_told_in_a_banner() -> None:
    def view() -> View:
        raise MonitorError("nothing to show")

    page = see(view).page
    assert page.one(id="state").text == "unreachable"
    assert "Not ready. The monitor cannot be reached" in page.one(id="banner").text


def test_names_and_reasons_are_text_never_markup() -> None:
    evil = alert(EVIL, reason=EVIL)
    view = View(
        time.time(),
        lanes=(lane([EVIL], [[2.0]], labels={EVIL: EVIL}),),
        alerts=(evil,),
        recent_alerts=(evil,),
    )
    seen = see(lambda: view)
    assert seen.page.one("title").text == "(1) monitor"
    assert seen.page.one(id="cells").one("button").one(class_="cell-name").text == EVIL
    assert seen.page.one(id="open").one(class_="reason").text == EVIL
    assert [image.attributes["src"] for image in seen.page.every("img")] == ["icon.svg"]


MAGENTA = (250, 0, 250)


def pictured(*, phase: str = "firing") -> View:
    """A camera whose alert shows a frame that is magenta, and a microphone's."""
    now = time.time()
    seen, heard = (alert(name, opened=now - 9, time=now - 5) for name in ("camera-1", "mic-1"))
    frame = evidence(seen)
    frame.example[:] = np.reshape(MAGENTA, (3, 1, 1))
    open_alerts = (seen, heard) if phase == "firing" else ()
    steps = tuple(a._replace(phase="resolved") for a in (seen, heard)) if phase != "firing" else ()
    return View(
        now,
        lanes=(lane(["camera-1", "mic-1", "pump-1"], [[4.0], [3.5], [0.4]], now=now),),
        alerts=open_alerts,
        recent_alerts=open_alerts + steps,
        evidence=(frame, evidence(heard, "sound")),
    )


def test_an_alert_of_a_camera_shows_its_picture_small_and_large() -> None:
    view = pictured()
    seen = see(lambda: view, "#vibration/camera-1")
    assert seen.complaints == []
    whole = seen.page.one(id="picture").one("img")
    thumbnails = seen.page.one(id="open").every("img")
    assert len(thumbnails) == 2
    for image in (whole, *thumbnails):
        assert int(image.attributes["width"] or 0) > 100, "it is loaded"
        assert int(image.attributes["height"] or 0) > 50
    assert whole.attributes["alt"] == "Frame of camera-1, and where conv_ae finds it anomalous"
    assert whole.attributes["src"] == thumbnails[0].attributes["src"]
    assert seen.page.one(id="picture").one("figcaption").text.startswith("Frame")


def test_a_microphone_shows_its_spectrogram_and_a_pump_nothing() -> None:
    view = pictured()
    page = see(lambda: view, "#vibration/mic-1").page
    assert page.one(id="picture").one("img").attributes["alt"] == (
        "Spectrogram of mic-1, and where conv_ae finds it anomalous"
    )
    assert see(lambda: view, "#vibration/pump-1").page.one(id="picture").every("img") == []


def test_the_picture_of_a_resolved_alert_can_still_be_seen() -> None:
    view = pictured(phase="resolved")
    page = see(lambda: view, "#vibration/camera-1").page
    assert page.one(id="open").every("img") == []
    assert len(page.one(id="picture").every("img")) == 1
    assert [row.every("button")[0].text for row in page.one(id="recent").every("tr")] == [
        "camera-1 ▣",
        "mic-1 ▣",
    ]


@pytest.mark.parametrize("scheme", [(), ("--blink-settings=preferredColorScheme=0",)])
def test_the_picture_is_to_be_seen_in_a_light_and_in_a_dark_page(
    tmp_path: Path, scheme: tuple[str, ...]
) -> None:
    view = pictured()
    with Server(lambda: view, ServeConfig(port=0)) as server:
        photograph(f"{server.url}/#vibration/camera-1", tmp_path / "page.png", 3000, *scheme)
        empty = replace(view, evidence=())
        view = empty
        photograph(f"{server.url}/#vibration/camera-1", tmp_path / "none.png", 3000, *scheme)
    with_picture, without = (
        np.asarray(Image.open(tmp_path / name).convert("RGB"), np.int16)
        for name in ("page.png", "none.png")
    )
    bright = bool(with_picture[5, 5].sum() > 384)
    assert bright is (not scheme)
    near = [np.abs(shown - MAGENTA).max(axis=2) < 12 for shown in (with_picture, without)]
    assert near[0].sum() > 40_000, "the frame of the alert, small and large"
    assert near[1].sum() == 0


def test_an_empty_process_says_so() -> None:
    page = see(lambda: View(time.time())).page
    for name in ("open-none", "cells-none", "recent-none", "partitions-none", "models-none"):
        assert "hidden" not in page.one(id=name).attributes


def test_the_page_loads_nothing_from_elsewhere_and_makes_no_markup_from_data() -> None:
    for name in PAGE:
        text = (files("monitor.serve") / "page" / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        links = re.findall(r"""(?:src|href|url|from|import)\W{1,3}(https?:)?//""", text)
        assert links == [], name
