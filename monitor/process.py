"""One live process: the loop, its HTTP server, and signals that end it in good order."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from types import FrameType

import structlog

from monitor.allocator import give_back
from monitor.connect.kafka.reach import reach
from monitor.detect import check_exported
from monitor.errors import ConfigError, SinkError, StateError
from monitor.runner import Runner
from monitor.serve.encryption import encryption
from monitor.serve.http import Server
from monitor.serve.readiness import Expected
from monitor.serving import ServeConfig
from monitor.settings import Config
from monitor.stream.rehearse import rehearse
from monitor.wiring import build_middle, build_runner

log = structlog.get_logger("monitor")


def run(config: Config, port: int | None = None) -> None:
    """Until SIGTERM or Ctrl-C, or until recordings end. `port` overrides the configured one."""
    give_back()
    check_exports(config)
    check_folder(config)
    runner = build_runner(config)
    rehearse(runner.pipeline)
    # What is loaded by now stays: a full collection over it would stall the loop for 0.2 s.
    gc.freeze()
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


def probe(config: Config) -> None:
    """What `run` would need: models, snapshot folder, certificates, brokers. Raises the error it
    would raise.
    """
    check_exports(config)
    build_middle(config)
    check_folder(config)
    if config.serve and config.serve.tls:
        encryption(config.serve.tls)
    if config.source.kafka:
        reach(config.source.kafka)
    for sink in config.sinks:
        if sink.kafka and sink.kafka.broker:
            reach(sink.kafka.broker, error=SinkError)


def check_exports(config: Config) -> None:
    """Raises ConfigError for a detector whose memory would not survive this process."""
    for name, stream in config.streams.items():
        for use in (use for rule in stream.models for use in rule.use):
            try:
                check_exported(use.reference.detector)
            except ConfigError as error:
                raise ConfigError(f"streams.{name}.models: {error}") from error


def check_folder(config: Config) -> None:
    """Raises StateError where live state could not be kept, before anything depends on it."""
    if not config.source.kafka or config.snapshots.topic:
        return
    folder = config.snapshots.directory
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".trial.{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        why = error.strerror or error
        raise StateError(
            f"snapshots.directory: {_absolute(folder)} cannot be written: {why}; name a folder "
            "that this user may write to"
        ) from error


def _absolute(folder: Path) -> Path:
    """Relative ones depend on where the process was started."""
    return Path.cwd() / folder


def _stopper(runner: Runner) -> signal._HANDLER:
    def stop(number: int, frame: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        runner.stop()
        if number == signal.SIGINT:  # a second Ctrl-C does not wait
            signal.signal(number, signal.default_int_handler)

    return stop
