"""The operator page in a real Chromium, over a served View."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files

from monitor.errors import MonitorError
from monitor.serve.app import PAGE
from monitor.serve.http import Server
from monitor.serving import ServeConfig
from monitor.view import View
from tests.browser.chromium import Visit, visit
from tests.served import alert, fleet, growing, hashed, lane

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
