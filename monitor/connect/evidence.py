"""What alerts of cameras and microphones were raised for, as files:

    <folder>/<stream>/<sensor>/<time>-<alert>.png     as `monitor.pictures.png` draws it
                              /<time>-<alert>.json    the alert, scores, thresholds, the model

The same step of an alert has the same names in any process and after any crash, so a repeat takes
the place of what is there. The picture is written first: where there is a JSON file, all is there.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson
import structlog

from monitor.connect.durable import sync_folder, write_file
from monitor.connect.messages import alert_message, iso
from monitor.connections import EvidenceFolder
from monitor.errors import ModelError, SinkError
from monitor.pictures import png
from monitor.types import Alert, Evidence, Result, Score
from monitor.view import ModelInfo

VERSION = 1
_LONGEST = 120
_NO_TIME = "no-time"
_OURS = re.compile(rf"(\d{{8}}T\d{{6}}\.\d{{6}}Z|{_NO_TIME})-[^/]+\.json")
log = structlog.get_logger("monitor")


class EvidenceSink:
    """Keeps the `keep` pieces that were written last, of all streams and sensors together.

    `models` are those that score, to tell which of them found it. Where the disk is full or the
    folder cannot be written `flush` raises SinkError, keeps what is not written yet, and tries it
    again the next time.
    """

    def __init__(self, settings: EvidenceFolder, models: Sequence[ModelInfo] = ()) -> None:
        self._folder, self._keep = settings.path, settings.keep
        self._models = {(model.stream, model.detector): model for model in models}
        self._pending: deque[tuple[Evidence, bytes]] = deque()
        with self._translated():
            self._folder.mkdir(parents=True, exist_ok=True)
            for torn in self._folder.glob("*/*/.*.partial"):
                torn.unlink(missing_ok=True)
            self._count = len(self._kept())

    def emit(self, result: Result) -> None:
        """Hold what there is to see until the next `flush`."""
        for evidence in result.evidence:
            steps = (a for a in result.alerts if (a.id, a.time) == (evidence.alert, evidence.time))
            alert = next(steps, None)
            scores = [score for score in result.scores if _is_of(score, evidence)]
            self._pending.append((evidence, self._told(evidence, alert, scores)))

    def flush(self) -> None:
        """See `monitor.protocols.Sink`."""
        if not self._pending:
            return
        with self._translated():
            while self._pending:
                self._write(*self._pending[0])
                self._pending.popleft()
            if self._count > self._keep:
                self._thin()

    def close(self) -> None:
        """Flush; more than once does no harm."""
        self.flush()

    def _told(self, evidence: Evidence, alert: Alert | None, scores: Sequence[Score]) -> bytes:
        """The JSON file, but for its picture."""
        heat = np.nan_to_num(evidence.heat, posinf=np.inf)
        row, column = np.unravel_index(int(heat.argmax()), heat.shape)
        found = self._models.get((evidence.stream, evidence.detector))
        told = {
            "version": VERSION,
            "stream": evidence.stream,
            "sensor": evidence.sensor,
            "topic": evidence.partition.topic,
            "partition": evidence.partition.number,
            "offset": evidence.offset,
            "time": evidence.time,
            "time_iso": iso(evidence.time),
            "kind": evidence.kind,
            "detector": evidence.detector,
            "model": None if found is None else _model(found),
            "rows": heat.shape[0],
            "columns": heat.shape[1],
            "hottest": {"row": int(row), "column": int(column), "heat": heat[row, column]},
            "scores": [_score(score) for score in scores],
            "alert": None if alert is None else orjson.loads(alert_message(alert)),
        }
        return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)

    def _write(self, evidence: Evidence, told: bytes) -> None:
        folder = self._folder / part(evidence.stream) / part(evidence.sensor)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{_stamp(evidence.time)}-{part(evidence.alert)}"
        self._count += not (folder / f"{name}.json").exists()
        try:
            _replace(folder / f"{name}.png", png(evidence))
        except ModelError as error:  # of a detector of somebody's own: the rest is still worth it
            log.warning("no picture", alert=evidence.alert, detector=evidence.detector, why=error)
        _replace(folder / f"{name}.json", told)
        sync_folder(folder)

    def _thin(self) -> None:
        """Those go that were written first; other files are somebody else's."""
        written = self._kept()
        for path in sorted(written, key=lambda path: (written[path], path))[: -self._keep]:
            path.with_suffix(".png").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # there is more in it
                path.parent.rmdir()
        self._count = min(len(written), self._keep)

    def _kept(self) -> Mapping[Path, int]:
        """The JSON files, and when each was written (ns)."""
        found = {}
        for path in self._folder.glob("*/*/*.json"):
            if _OURS.fullmatch(path.name):
                with suppress(FileNotFoundError):  # another process was faster
                    found[path] = path.stat().st_mtime_ns
        return found

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or str(error)
            raise SinkError(
                f"cannot keep evidence in {self._folder}: {why}", retriable=True
            ) from error


def part(name: str) -> str:
    """One part of a path for any name: no two names have the same one, none leads elsewhere.

    Letters, digits and `_ . - ~` stand as they are, all else as `%XX`; of a long name only the
    beginning does, with a checksum.
    """
    plain = quote(name, safe="", errors="surrogatepass") or "%"
    if plain.startswith("."):
        plain = f"%2E{plain[1:]}"
    if len(plain) <= _LONGEST:
        return plain
    return f"{plain[: _LONGEST - 40]}~{sha256(plain.encode()).hexdigest()}"


def _stamp(time: float) -> str:
    """A time that sorts as text; no calendar has some."""
    told = iso(time)
    return _NO_TIME if told is None else re.sub("[:-]", "", told)


def _is_of(score: Score, evidence: Evidence) -> bool:
    return score[:4] == (
        evidence.partition,
        evidence.offset,
        evidence.stream,
        evidence.sensor,
    ) and bool(score.time == evidence.time)


def _score(score: Score) -> dict[str, Any]:
    return {
        "detector": score.detector,
        "raw": score.raw,
        "threshold": score.threshold,
        "value": score.value,
    }


def _model(model: ModelInfo) -> dict[str, Any]:
    return {"name": model.name, "version": model.version, "fingerprint": model.fingerprint}


def _replace(path: Path, data: bytes) -> None:
    """A file is whole or not there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_file(beside, data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
