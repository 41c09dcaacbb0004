"""One live process: the loop, its HTTP server, and signals that end it in good order."""

from __future__ import annotations

import signal
from types import FrameType

import structlog

from monitor.runner import Runner
from monitor.serve.http import Server
from monitor.serve.readiness import Expected
from monitor.settings import Config, ServeConfig
from monitor.stream.rehearse import rehearse
from monitor.wiring import build_runner

log = structlog.get_logger("monitor")


def run(config: Config, port: int | None = None) -> None:
    """Until SIGTERM or Ctrl-C, or until recordings end. `port` overrides the configured one."""
    runner = build_runner(config)
    rehearse(runner.pipeline)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopper(runner))
    if config.serve is None:
        runner.run()
        return
    settings = config.serve if port is None else config.serve.model_copy(update={"port": port})
    with serve(runner, settings) as server:
        log.info("serving", page=server.url, metrics=f"{server.url}/metrics")
        runner.run()


def serve(runner: Runner, settings: ServeConfig) -> Server:
    """A server, not yet started, that shows what the runner publishes."""
    expected = Expected(models=len(runner.models), standby=lambda: runner.joined)
    return Server(lambda: runner.view, settings, expected, runner.clock)


def _stopper(runner: Runner) -> signal._HANDLER:
    def stop(number: int, frame: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        runner.stop()

    return stop
