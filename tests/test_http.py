"""The server: answers, health, and a clean end."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ServeError
from monitor.serve import api, schema
from monitor.serve.http import Server
from monitor.serve.readiness import Expected, readiness
from monitor.serving import ServeConfig
from monitor.types import Partition
from monitor.view import View
from tests.served import NOW, alert, fleet, lane

ANY_PORT = ServeConfig(port=0)


class Publisher:
    """A view that a test can change."""

    def __init__(self, view: View) -> None:
        self.view = view

    def __call__(self) -> View:
        return self.view


@pytest.fixture(scope="module")
def served() -> Iterator[httpx.Client]:
    server = Server(fleet, ANY_PORT, Expected(models=2), clock=lambda: NOW + 1)
    with server, httpx.Client(base_url=server.url) as client:
        yield client


def get(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer: Any) -> list[str]:
    return [item["sensor"] for item in answer["items"]]


def test_metrics_are_served_as_prometheus_wants_them(served: httpx.Client) -> None:
    answer = served.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'monitor_anomaly_score{stream="vibration",sensor="pump-07"' in answer.text


def test_sensors_come_by_name_and_in_pages(served: httpx.Client) -> None:
    first = get(served, "/api/v1/sensors?limit=30")
    rest = get(served, "/api/v1/sensors?limit=30&offset=30")
    assert first["total"] == rest["total"] == 48
    assert len(first["items"]) == 30
    together = names(first) + names(rest)
    assert together == sorted(together)
    assert len(set(together)) == 48


def test_sensors_by_score_begin_with_the_worst(served: httpx.Client) -> None:
    worst = get(served, "/api/v1/sensors?sort=score&limit=2")
    assert names(worst) == ["pump-07", "pump-03"]
    assert worst["items"][0]["value"] == pytest.approx(4.2)
    assert worst["items"][0]["labels"] == {"site": "north", "line": "A-2"}
    assert [a["severity"] for a in worst["items"][0]["alerts"]] == ["critical"]


def test_sensors_are_found_by_a_part_of_their_name(served: httpx.Client) -> None:
    assert names(get(served, "/api/v1/sensors?search=P-1&limit=3")) == [
        "pump-10",
        "pump-11",
        "pump-12",
    ]
    assert get(served, "/api/v1/sensors?stream=sound")["total"] == 0


def test_what_is_not_finite_is_null(served: httpx.Client) -> None:
    (item,) = get(served, "/api/v1/sensors?search=fan-03")["items"]
    assert item["value"] is None
    assert [reading["raw"] for reading in item["detectors"]] == [None] * 3
    assert item["detectors"][0]["progress"] == pytest.approx(0.4)


def test_a_sensor_alone_has_its_recent_windows(served: httpx.Client) -> None:
    found = get(served, "/api/v1/sensors/vibration/pump-07")
    assert len(found["times"]) == 60
    assert found["times"][-1] == NOW
    assert [series["detector"] for series in found["history"]] == [
        "conv_ae",
        "deep_svdd",
        "online_iforest",
    ]
    assert found["history"][0]["value"][-1] == pytest.approx(4.2)


def test_history_leaves_out_windows_that_never_were() -> None:
    part = lane(["a"], [[1.0]])
    part.times[0, :50] = np.nan
    found = api.sensor(View(NOW, lanes=(part,)), "vibration", "a")
    assert found is not None
    assert len(found.times) == len(found.history[0].value) == 10


def test_a_sensor_with_slashes_and_spaces_is_found() -> None:
    name = "hall 3/püm?p#1"
    view = View(NOW, lanes=(lane([name], [[1.0]]),))
    with Server(lambda: view, ANY_PORT) as server, httpx.Client(base_url=server.url) as client:
        for path in ("hall%203%2Fp%C3%BCm%3Fp%231", "hall%203/p%C3%BCm%3Fp%231"):
            assert get(client, f"/api/v1/sensors/vibration/{path}")["sensor"] == name


def test_an_unknown_sensor_is_404_with_a_hint(served: httpx.Client) -> None:
    answer = served.get("/api/v1/sensors/vibration/nobody")
    assert answer.status_code == 404
    assert answer.json()["detail"] == (
        "this process has no sensor 'nobody' in stream 'vibration'; "
        "/api/v1/sensors lists those it has"
    )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sensors?limit=many", "limit: 'many': Input should be a valid integer"),
        ("sensors?limit=0", "limit: '0': Input should be greater than or equal to 1"),
        ("sensors?sort=size", "sort: 'size': Input should be 'name' or 'score'"),
        ("sensors?strem=x", "strem: 'x': Extra inputs are not permitted"),
        ("alerts?state=closed", "state: 'closed': Input should be 'open' or 'all'"),
    ],
)
def test_a_bad_query_is_422_and_says_why(served: httpx.Client, query: str, told: str) -> None:
    answer = served.get(f"/api/v1/{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(told)


def test_open_alerts_and_all_alerts(served: httpx.Client) -> None:
    (only,) = get(served, "/api/v1/alerts")["items"]
    assert (only["sensor"], only["phase"]) == ("pump-07", "firing")
    assert list(only["channels"]) == ["x", "y", "z"]
    both = get(served, "/api/v1/alerts?state=all")["items"]
    assert [(a["sensor"], a["phase"]) for a in both] == [
        ("pump-07", "firing"),
        ("pump-11", "resolved"),
    ]
    assert both[1]["time"] - both[1]["opened"] == 60


def test_the_gravest_alert_comes_first_and_the_newest_step_of_it() -> None:
    older = alert("a", severity="warning", time=NOW - 30)
    graver = alert("a", time=NOW)
    view = View(NOW, alerts=(alert("b", severity="warning"), graver), recent_alerts=(older, graver))
    found = api.alarms(view, schema.AlarmQuery(state="all"))
    assert [(a.sensor, a.severity) for a in found.items] == [("a", "critical"), ("b", "warning")]


def test_the_status_tells_what_the_process_has(served: httpx.Client) -> None:
    status = get(served, "/api/v1/status")
    assert status["readiness"]["ready"] is True
    assert status["partitions"][1] == {
        "topic": "plant.vibration",
        "partition": 1,
        "position": 12_001,
        "lag": 3,
    }
    assert status["streams"] == [{"stream": "vibration", "sensors": 48, "anomalous": 2}]
    assert [model["detector"] for model in status["models"]] == ["conv_ae", "deep_svdd"]
    assert {"name": "messages", "labels": ["vibration"], "total": 24_800.0} in status["counters"]
    assert status["notices"][0]["sensor"] == "pump-02"


def test_healthz_answers_also_while_nothing_moves() -> None:
    view = Publisher(View(published=0.0))
    with Server(view, ANY_PORT, Expected(models=1), clock=lambda: NOW) as server:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        answer = httpx.get(f"{server.url}/readyz")
        assert answer.status_code == 503
        assert [c["ok"] for c in answer.json()["conditions"]] == [False, False, False, True, True]
        view.view = replace(fleet(), published=NOW - 1)
        assert httpx.get(f"{server.url}/readyz").status_code == 200


@pytest.mark.parametrize(
    ("view", "failed"),
    [
        (fleet(), None),
        (replace(fleet(), position={}, lag={}), "partitions"),
        (replace(fleet(), models=()), "models"),
        (replace(fleet(), published=NOW - 11), "progress"),
        (replace(fleet(), failing={"source": "localhost:9092 refused"}), "source"),
        (replace(fleet(), failing={"delivery": "disk full"}), "delivery"),
        (replace(fleet(), failing={"snapshots": "disk full"}), None),
    ],
)
def test_each_condition_alone_makes_it_not_ready(view: View, failed: str | None) -> None:
    found = readiness(view, Expected(models=2), NOW)
    assert [c.name for c in found.conditions if not c.ok] == [failed] * (failed is not None)
    assert found.ready is (failed is None)


def test_a_member_without_partitions_is_ready_to_take_over() -> None:
    view = replace(fleet(), position={}, lag={})
    assert readiness(view, Expected(standby=lambda: True), NOW).ready


def test_a_partition_whose_lag_is_not_known_yet_has_a_position() -> None:
    view = View(NOW, position={Partition("t", 0): 7})
    (only,) = api.status(view, readiness(view, Expected(), NOW), NOW).partitions
    assert (only.position, only.lag) == (7, None)


def test_every_answer_carries_the_security_headers(served: httpx.Client) -> None:
    for path in ("/", "/metrics", "/healthz", "/api/v1/sensors?limit=x", "/nowhere", "/page.js"):
        headers = served.get(path).headers
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_api_describes_itself_and_loads_nothing_from_elsewhere(served: httpx.Client) -> None:
    paths = get(served, "/openapi.json")["paths"]
    assert {"/metrics", "/healthz", "/readyz", "/api/v1/sensors", "/api/v1/alerts"} <= set(paths)
    answers = paths["/api/v1/alerts/{alert}/picture.png"]["get"]["responses"]
    assert "image/png" in answers["200"]["content"]
    assert served.get("/docs").status_code == served.get("/redoc").status_code == 404


def test_nothing_can_be_changed(served: httpx.Client) -> None:
    assert served.post("/api/v1/alerts").status_code == 405


def test_a_busy_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServeError) as error:
            Server(fleet, ServeConfig(port=port)).start()
    assert str(error.value).startswith(
        f"serve: cannot listen on 127.0.0.1 port {port}: Address already in use; "
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("address", ["203.0.113.9", "no such host", "a..b", "x" * 80])
def test_an_address_of_another_machine_is_one_clear_line(address: str) -> None:
    with pytest.raises(ServeError, match=r"serve: cannot listen on .* port 0: "):
        Server(fleet, ServeConfig(address=address, port=0, anonymous=True)).start()


def test_every_address_means_this_machine_to_a_browser_here() -> None:
    with Server(fleet, ServeConfig(address="0.0.0.0", port=0, anonymous=True)) as server:
        assert server.url.startswith("http://127.0.0.1:")


def test_stop_frees_the_port_and_ends_the_thread_with_a_client_still_there() -> None:
    before = threading.active_count()
    server = Server(fleet, ANY_PORT).start()
    port = int(server.url.rpartition(":")[2])
    with httpx.Client(base_url=server.url) as client:
        get(client, "/healthz")
        server.stop()
    assert threading.active_count() == before
    with Server(fleet, ServeConfig(port=port)):
        pass


def test_stop_is_safe_at_any_time() -> None:
    never_started = Server(fleet, ANY_PORT)
    never_started.stop()
    at_once = Server(fleet, ANY_PORT).start()
    at_once.stop()
    at_once.stop()


@given(st.lists(st.floats(), min_size=2, max_size=2))
def test_every_number_can_be_told_as_json(values: list[float]) -> None:
    part = lane(["a"], [[1.0, 1.0]])
    with np.errstate(over="ignore"):
        part.raw[0] = values
        part.cuts[0, -1] = values
    part.window_end[0] = values[0]
    found = api.sensor(View(NOW, lanes=(part,)), "vibration", "a")
    assert found is not None
    told = schema.SensorDetail.model_validate_json(found.model_dump_json())
    assert told.window_end == (values[0] if math.isfinite(values[0]) else None)
    assert len(told.history[0].value) == 60
