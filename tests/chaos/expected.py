"""What must come of every message, told from the input log alone: without any of the product's
code, each record is scored, rejected, or of no consequence because it is late or comes again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.chaos.feed import CHANNELS, SIZE, START, STEP, Message, Stream
from tests.chaos.logs import Entry
from tests.chaos.producer import HEADER

Letter = tuple[str, int, int]  # topic, partition and offset of a record that is rejected


@dataclass
class Expected:
    """`scores` says by its id which message each score comes of, `letters` each dead letter's
    reason; `ignored` counts the samples of either outcome in each stream.
    """

    scores: dict[str, int] = field(default_factory=dict)
    letters: dict[Letter, str] = field(default_factory=dict)
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    records: int = 0
    lost: set[int] = field(default_factory=set)


def expect(
    log: Iterable[Entry],
    sent: Mapping[int, Message],
    acknowledged: set[int],
    detectors: Mapping[Stream, tuple[str, ...]],
) -> Expected:
    """Go through the input log in the order in which it lies there."""
    found = Expected()
    sensors: dict[str, _Sensor] = defaultdict(_Sensor)
    there = set()
    for entry in log:
        number = int(entry.headers[HEADER])
        message = sent[number]
        there.add(number)
        found.records += 1
        if message.kind == "poison":
            found.letters[(*entry.place, entry.offset)] = message.reason
            continue
        ends, outcome = sensors[message.sensor].take(message)
        if outcome:
            found.ignored[message.stream, outcome] += SIZE * len(CHANNELS)
        for detector in detectors[message.stream]:
            scores = (f"{message.stream}/{message.sensor}/{detector}/{end!r}" for end in ends)
            found.scores.update(dict.fromkeys(scores, number))
    found.lost = acknowledged - there
    return found


class _Sensor:
    def __init__(self) -> None:
        self._steps: set[int] = set()
        self._newest = -1
        self._held: list[float] = []

    def take(self, message: Message) -> tuple[list[float], str]:
        """The ends of the windows that a message completes, or why it has no consequence."""
        step = message.step
        if step <= self._newest:
            return [], "duplicate" if step == self._newest else "late"
        first = not self._steps or self._steps == {step - 1}
        self._steps.add(step)
        self._newest = step
        if message.stream == "windows":
            return [_end(step)], ""
        due, self._held = self._held, []
        if step - 1 in self._steps:
            # Behind a window with a gap, which stays open for another step (`lateness`), it waits.
            (due if first or step - 2 in self._steps else self._held).append(_end(step))
        return due, ""


def _end(step: int) -> float:
    return START + (step + 1) * STEP
