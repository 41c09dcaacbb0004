"""`monitor run` as processes that may be ended at any moment, each by its own process id."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.clock import with_own_clock
from tests.kafka.processes import COMMAND, environment

PATIENCE = 60.0
RESUMED = "partition resumed"  # one that was taken over behind its beginning


class Member:
    """One process; what it logs goes into a file, and is followed to know what it holds.

    `clock` is the file that its wall clock follows, if it has one of its own.
    """

    def __init__(self, config: Path, log: Path, clock: Path | None) -> None:
        self.log = log
        self.clock = clock
        self.held: set[str] = set()
        self.joined = False
        self.frozen = False
        self.last_words = ""
        self.events: Counter[str] = Counter()
        self._asked = self._gone = 0.0
        self._process = subprocess.Popen(
            [*COMMAND, "run", str(config), "--log-json"],
            cwd=config.parent,
            env={**environment(), **(with_own_clock(clock) if clock else {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._follow, name=f"log of {self.pid}")
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while it lives."""
        return self._process.poll()

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()

    def freeze(self) -> None:
        """Let it stand still."""
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on, if it is still there."""
        self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    def terminate(self) -> None:
        """Ask it, once, to hand over and go; a second time would interrupt Python's own end."""
        if not self._asked:
            self._asked = time.monotonic()
            self._process.send_signal(signal.SIGTERM)

    @property
    def leaving(self) -> float | None:
        """Seconds from being asked to go until it was gone."""
        return self._gone - self._asked if self._asked and self._gone else None

    def limit_files(self, size: int | None) -> None:
        """No file of it may become larger than this, as on a disk that is full; None: no limit.

        Does nothing where it is gone.
        """
        if self.status is not None:
            return
        most = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def wait(self, seconds: float = PATIENCE) -> int:
        """Until it is gone; by force where that takes longer. The exit status."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.last_words = f"was still there after {seconds:g} s"
            self._process.kill()
            self._process.wait()
        self._reader.join()
        return int(self._process.returncode)

    def end(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        if self.status is None:
            self._process.kill()
        self.wait()

    def _follow(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines, self.log.open("ab") as file:
            for line in lines:
                file.write(line)
                file.flush()
                self._hear(line)
        self._gone = time.monotonic()

    def _hear(self, line: bytes) -> None:
        if not line.startswith(b"{"):
            self.last_words = line.decode(errors="replace").strip() or self.last_words
            return
        told: dict[str, Any] = json.loads(line)
        event = told["event"]
        self.events[event] += 1
        self.events[RESUMED] += event == "partition assigned" and told["committed"] > 0
        if event == "assigned":
            self.joined = True
            self.held |= set(told["partitions"])
        elif event in ("revoked", "lost"):
            self.held -= set(told["partitions"])


class Crew:
    """`count` places, each with one member at a time; a place whose member is gone gets another."""

    def __init__(self, configs: Sequence[Path], clocks: Sequence[Path | None]) -> None:
        self._configs, self._clocks = configs, clocks
        self.past: list[Member] = []
        self.members = [self._new(place) for place in range(len(configs))]

    @property
    def alive(self) -> list[Member]:
        """Those that run and are not frozen."""
        return [member for member in self.members if member.status is None and not member.frozen]

    def refill(self) -> None:
        """Start another wherever one is gone."""
        for place, member in enumerate(self.members):
            if member.status is not None:
                member.wait()
                self.past.append(member)
                self.members[place] = self._new(place)

    def dismiss(self) -> None:
        """End all in good order."""
        for member in self.members:
            member.terminate()
        self._wait()

    def end(self) -> None:
        """End all by force, also those that are frozen."""
        for member in self.members:
            member.end()
        self._wait()

    def _wait(self) -> None:
        for member in self.members:
            member.wait()
        self.past += self.members
        self.members = []

    def _new(self, place: int) -> Member:
        config = self._configs[place]
        log = config.with_suffix(f".{time.monotonic_ns()}.log")
        return Member(config, log, self._clocks[place])
