"""Recordings through the pipeline -> a report of what came of it, and of the models behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from monitor import journal
from monitor.connect.store import ModelStore
from monitor.errors import ConfigError
from monitor.model import Model
from monitor.notation import Reference
from monitor.offline.dataset import Recorded, read_labelled
from monitor.offline.evaluate import Part, part_of, pieces_of
from monitor.offline.figures import write_figures
from monitor.offline.heard import Heard
from monitor.offline.labels import Event
from monitor.offline.replay import Replayed, play
from monitor.offline.report.models import Asked, Played, model_section
from monitor.offline.report.page import Page, Section, write
from monitor.offline.report.streams import confusions, stream_section, timeline_section
from monitor.offline.report.training import PROJECTIONS
from monitor.settings import Config


def run(
    config: Config,
    paths: Sequence[Path],
    out: Path,
    wanted: Asked,
    *,
    labels: Path | None = None,
    time_column: str | None = None,
    json_file: Path | None = None,
) -> None:
    """The command: replay files and write the report of it to `out`."""
    journal.configure(json=False, quiet=True)
    recorded, events = read_labelled(config, paths, labels, time_column)
    page, figures = report(config, recorded, events, wanted, progress=True)
    write(out, page)
    Console().print(f"report: {out}", soft_wrap=True)
    if json_file:
        write_figures(json_file, figures)


def asked(examples: int, timelines: int, projection: str) -> Asked:
    """What the command's options ask for. Raises ConfigError for an unknown projection."""
    for each in PROJECTIONS:
        if each == projection:
            return Asked(examples, each, timelines)
    raise ConfigError(f"projection is {projection!r}; valid are {', '.join(PROJECTIONS)}")


def report(
    config: Config,
    recorded: Recorded,
    events: Sequence[Event] | None = None,
    wanted: Asked | None = None,
    *,
    progress: bool = False,
) -> tuple[Page, dict[str, Any]]:
    """The page, and its figures for other programs; truth as in `evaluate.evaluate`, but recordings
    without labels are fine too.

    Raises ModelError where a model is missing.
    """
    wanted = wanted or Asked()
    heard = Heard()
    replayed = play(config, recorded, heard, progress=progress)
    sections: list[Section] = []
    figures: dict[str, Any] = {}
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("drawing", total=None)
        for name, recordings in recorded.items():
            stream = config.streams[name]
            pieces = list(pieces_of(recordings, stream, heard.tracks(name), events))
            told = _of_stream(config, name, Played(stream, recordings, pieces), wanted)
            for section in told.sections():
                bar.update(task, description=f"drawing {section.title}")
                sections.append(section)
            figures[name] = told.figures()
    page = Page(f"Report of {', '.join(recorded)}", sections, _facts(replayed))
    return page, {"streams": figures, "replay": asdict(replayed)}


@dataclass(frozen=True, slots=True)
class _Stream:
    """All that a report tells of one stream."""

    name: str
    played: Played
    part: Part
    models: Sequence[tuple[Model, set[str]]]
    asked: Asked

    def sections(self) -> Iterator[Section]:
        """Drawn one after the other."""
        pieces = self.played.pieces
        yield stream_section(self.name, self.part, pieces)
        yield timeline_section(pieces, self.asked.timelines)
        for model, sensors in self.models:
            yield model_section(model, sensors, self.played, self.asked)

    def figures(self) -> dict[str, Any]:
        """Those of `monitor evaluate`, what is over the thresholds, and the losses of training."""
        counts = {of: each._asdict() for of, each in confusions(self.played.pieces).items()}
        curves = {
            f"{model.label}:{model.manifest.name}": [asdict(c) for c in model.manifest.history]
            for model, _ in self.models
        }
        return {**asdict(self.part), "at_threshold": counts, "training": curves}


def _of_stream(config: Config, name: str, played: Played, asked: Asked) -> _Stream:
    part = part_of(played.pieces, played.stream)
    return _Stream(name, played, part, list(_models(config, played)), asked)


def _models(config: Config, played: Played) -> Iterator[tuple[Model, set[str]]]:
    """Each trained model of a stream, once, with the recorded sensors that it scores."""
    sensors: dict[Reference, set[str]] = {}
    recorded = {recording.sensor for recording in played.recordings}
    for place, rule in enumerate(played.stream.models):
        own = {sensor for sensor in recorded if played.stream.rule_of(sensor) == place}
        for use in rule.use:
            if use.reference.model and own:
                sensors.setdefault(use.reference, set()).update(own)
    store, scoring = ModelStore(config.models), config.scoring
    for wanted, own in sensors.items():
        yield store.load(wanted, scoring.chunk, scoring.backend), own


def _facts(replayed: Replayed) -> list[tuple[str, str]]:
    return [
        ("recordings", f"{replayed.recordings:,}"),
        ("windows", f"{replayed.windows:,}"),
        ("alerts", f"{replayed.alerts:,}"),
        ("rejected messages", f"{sum(replayed.rejected.values()):,}"),
        ("seconds", f"{replayed.seconds:,.1f}"),
    ]
