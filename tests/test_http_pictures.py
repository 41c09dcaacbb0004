"""The pictures of alerts over HTTP."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import httpx
import pytest
from PIL import Image

from monitor.serve import api
from monitor.serve.http import Server
from monitor.serve.pictures import Gallery
from monitor.serving import ServeConfig
from monitor.types import Evidence
from monitor.view import View
from tests.served import NOW, alert, evidence, hashed, lane

ANY_PORT = ServeConfig(port=0)


def asked(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def camera(*, ids: str = "5a0c", kind: str = "frame") -> View:
    """A view with one alert that has a picture, and one that has none."""
    mine = alert("camera-1")._replace(id=ids)
    made = evidence(mine, "frame" if kind == "frame" else "sound")
    return View(NOW, alerts=(mine, alert("pump-1")), evidence=(made,))


def picture_of(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content), formats=["PNG"])


@pytest.mark.parametrize("kind", ["frame", "sound"])
@pytest.mark.parametrize("ids", ["5a0c", "a/b c?d#ü%2F.."])
def test_an_alert_tells_where_its_picture_is(ids: str, kind: str) -> None:
    view = camera(ids=ids, kind=kind)
    with Server(lambda: view, ANY_PORT) as server, httpx.Client(base_url=server.url) as client:
        first, second = asked(client, "/api/v1/alerts")["items"]
        assert second["picture"] is None
        told = first["picture"]
        assert (told["kind"], told["detector"], told["time"]) == (kind, "conv_ae", NOW)
        picture = picture_of(client.get(f"/{told['url']}"))
        assert picture.width > 100
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 10, "it is not blank"


def test_a_sensors_open_alerts_have_their_pictures() -> None:
    view = replace(camera(), lanes=(lane(["camera-1"], [[1.0]]),))
    found = api.sensor(view, "vibration", "camera-1")
    assert found is not None
    assert found.alerts[0].picture is not None


def test_the_newest_picture_of_an_alert_comes_unless_another_step_is_asked_for() -> None:
    mine = alert("camera-1")._replace(id="5a0c")
    first = evidence(mine, offset=7)
    second = evidence(mine._replace(time=NOW + 9), offset=8)._replace(heat=first.heat * 0)
    view = View(NOW, alerts=(mine,), evidence=(first, second))
    with Server(lambda: view, ANY_PORT) as server, httpx.Client(base_url=server.url) as client:
        (told,) = asked(client, "/api/v1/alerts")["items"]
        assert told["picture"]["time"] == NOW + 9
        newest, older, newer = (
            client.get(f"/api/v1/alerts/5a0c/picture.png{query}").content
            for query in ("", "?offset=7", "?offset=8")
        )
        assert newest == newer != older


def test_an_alert_without_a_picture_is_404_with_a_hint() -> None:
    view = camera()
    with Server(lambda: view, ANY_PORT) as server:
        for path in ("pump-1-1767225560/picture.png", "5a0c/picture.png?offset=1"):
            answer = httpx.get(f"{server.url}/api/v1/alerts/{path}")
            assert answer.status_code == 404
            assert answer.json()["detail"] == (
                f"this process has no picture of alert {path.partition('/')[0]!r}; "
                "/api/v1/alerts?state=all tells where there is one"
            )
        strange = httpx.get(f"{server.url}/api/v1/alerts/5a0c/picture.png?size=9")
        assert strange.status_code == 422


def test_a_picture_is_drawn_once_and_kept_while_the_view_has_it() -> None:
    drawn: list[str] = []

    def draw(of: Evidence) -> bytes:
        drawn.append(of.alert)
        return of.alert.encode()

    gallery = Gallery(draw)
    one, two = (evidence(alert()._replace(id=name)) for name in ("one", "two"))
    both = View(NOW, evidence=(one, two))
    for _ in range(3):
        assert gallery.picture(both, "one", None) == b"one"
        assert gallery.picture(both, "two", 118) == b"two"
    assert drawn == ["one", "two"]
    assert gallery.picture(View(NOW, evidence=(two,)), "two", None) == b"two"
    assert gallery.picture(both, "one", None) == b"one"
    assert drawn == ["one", "two", "one"]
    assert gallery.picture(View(NOW), "two", None) is None


def test_pictures_stand_behind_the_login() -> None:
    login = {"users": {"anna": hashed("correct horse")}}
    settings = ServeConfig.model_validate({"port": 0, "login": login})
    view = camera()
    with Server(lambda: view, settings) as server:
        path = f"{server.url}/api/v1/alerts/5a0c/picture.png"
        assert httpx.get(path).status_code == 401
        answer = httpx.get(path, auth=("anna", "correct horse"))
        assert picture_of(answer).format == "PNG"
        assert answer.headers["cache-control"] == "no-store"
