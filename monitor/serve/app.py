"""The routes, as one ASGI application."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from monitor import __version__
from monitor.serve import api, schema
from monitor.serve.guard import Guard, trusted
from monitor.serve.metrics import CONTENT_TYPE, Exposition
from monitor.serve.pictures import Gallery
from monitor.serve.readiness import Expected, readiness
from monitor.serve.refusals import Refusals
from monitor.serving import ServeConfig
from monitor.types import Clock
from monitor.view import Publisher

PAGE = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "fleet.js": "text/javascript; charset=utf-8",
    "detail.js": "text/javascript; charset=utf-8",
    "alerts.js": "text/javascript; charset=utf-8",
    "picture.js": "text/javascript; charset=utf-8",
    "process.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def application(
    view: Publisher, settings: ServeConfig, expected: Expected, clock: Clock, refusals: Refusals
) -> ASGIApp:
    """All routes over the last View, behind the guard."""
    app = FastAPI(
        title="monitor",
        version=__version__,
        description="What one process of the anomaly monitor knows of its partitions.",
        # The interactive pages would load their scripts from another site.
        docs_url=None,
        redoc_url=None,
        # They would lead to whatever name the client called the server by.
        redirect_slashes=False,
        responses={422: {"model": schema.Problem}},
    )
    app.add_exception_handler(RequestValidationError, _unprocessable)
    _add_health(app, view, expected, clock)
    _add_metrics(app, Exposition(view, settings.max_sensors, refusals.totals))
    _add_sensors(app, view)
    _add_alerts(app, view, Gallery())
    _add_process(app, view, expected, clock)
    _add_page(app)
    return Guard(app, settings, refusals)


def _add_health(app: FastAPI, view: Publisher, expected: Expected, clock: Clock) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> schema.Health:
        """The process is alive and answers."""
        return schema.Health()

    @app.get("/readyz", tags=["health"], responses={503: {"model": schema.Readiness}})
    async def readyz(request: Request, response: Response) -> schema.Readiness:
        """Whether it does its work: 503 where not. Why is for those who are logged in."""
        found = readiness(view(), expected, clock())
        response.status_code = 200 if found.ready else 503
        return found if trusted(request.scope) else schema.Readiness(ready=found.ready)


def _add_metrics(app: FastAPI, exposition: Exposition) -> None:
    @app.get("/metrics", tags=["metrics"], response_class=Response)
    async def metrics() -> Response:
        """The Prometheus text format; docs/metrics.md lists the names."""
        # Rendered in the server's only thread: two scrapes never share the kept label sets.
        return Response(exposition.render(), media_type=CONTENT_TYPE)


def _add_sensors(app: FastAPI, view: Publisher) -> None:
    @app.get("/api/v1/sensors", tags=["sensors"])
    async def sensors(query: Annotated[schema.SensorQuery, Query()]) -> schema.Sensors:
        """The sensors of this process with their latest scores."""
        return api.sensors(view(), query)

    @app.get(
        "/api/v1/sensors/{stream}/{sensor:path}",
        tags=["sensors"],
        responses={404: {"model": schema.Problem}},
    )
    async def sensor(stream: str, sensor: str) -> schema.SensorDetail:
        """One sensor with its recent windows."""
        found = api.sensor(view(), stream, sensor)
        if found is None:
            detail = f"this process has no sensor {sensor!r} in stream {stream!r}"
            raise HTTPException(404, f"{detail}; /api/v1/sensors lists those it has")
        return found


def _add_alerts(app: FastAPI, view: Publisher, gallery: Gallery) -> None:
    @app.get("/api/v1/alerts", tags=["alerts"])
    async def alerts(query: Annotated[schema.AlarmQuery, Query()]) -> schema.Alarms:
        """Open alerts, and with `state=all` those resolved not long ago."""
        return api.alarms(view(), query)

    @app.get(
        "/api/v1/alerts/{alert:path}/picture.png",
        tags=["alerts"],
        response_class=Response,
        responses={200: {"content": {"image/png": {}}}, 404: {"model": schema.Problem}},
    )
    async def picture(alert: str, query: Annotated[schema.PictureQuery, Query()]) -> Response:
        """What an alert of a camera or a microphone was raised for, beside its heat map."""
        found = gallery.picture(view(), alert, query.offset)
        if found is None:
            detail = f"this process has no picture of alert {alert!r}"
            raise HTTPException(404, f"{detail}; /api/v1/alerts?state=all tells where there is one")
        return Response(found, media_type="image/png")


def _add_process(app: FastAPI, view: Publisher, expected: Expected, clock: Clock) -> None:
    @app.get("/api/v1/status", tags=["process"])
    async def status() -> schema.Status:
        """The process: version, readiness, partitions, lag, models, counters."""
        shown, now = view(), clock()
        return api.status(shown, readiness(shown, expected, now), now)


def _add_page(app: FastAPI) -> None:
    folder = files("monitor.serve") / "page"
    for name, kind in PAGE.items():
        path = "/" if name == "index.html" else f"/{name}"
        app.add_api_route(path, _file((folder / name).read_bytes(), kind), include_in_schema=False)


def _file(content: bytes, kind: str) -> Any:
    async def send() -> Response:
        return Response(content, media_type=kind)

    return send


def _unprocessable(request: Request, error: Exception) -> JSONResponse:
    """422 with one sentence for each mistake: parameter, value, what would be valid."""
    assert isinstance(error, RequestValidationError)
    told = "; ".join(
        f"{fault['loc'][-1]}: {fault.get('input')!r}: {fault['msg']}" for fault in error.errors()
    )
    return JSONResponse({"detail": told}, status_code=422)
